"""An RQ queue with our lists: RQ's own, then the backlog of each busy campaign, then the jobs that pauses hold back."""

from typing import Any

from django_rq.queues import DjangoRQ
from redis.exceptions import ResponseError
from rq.job import Job as RQJob

from jobs.broker import depths, keys
from jobs.broker.scripts import script


class Queue(DjangoRQ):
    """Lets RQ's tools count and list backlogs and parked jobs too (see lua/fair_share.lua)."""

    @property
    def count(self) -> int:
        """How many jobs wait, including those that pauses hold back."""
        return depths.read(self.connection, [self.name])[self.name].waiting

    def get_job_ids(self, offset: int = 0, length: int = -1) -> list[str]:
        """A slice of the ids: the list, then each campaign's backlog, then the parked ids."""
        listed = int(super().count)
        last = None if length < 0 else offset + length
        ids = list(super().get_job_ids(offset, length)) if offset < listed else []
        start = listed
        for key, size in depths.extra_lists(self.name, self.connection).items():
            if last is not None and start >= last:
                break
            low, high = max(0, offset - start), size if last is None else min(size, last - start)
            if low < high:
                found: Any = self.connection.lrange(key, low, high - 1)
                ids += keys.texts(found)
            start += size
        return ids

    def remove(self, job_or_id: Any, pipeline: Any = None) -> Any:
        """Remove one id, whichever list it is in."""
        rq_id = job_or_id.id if isinstance(job_or_id, RQJob) else str(job_or_id)
        try:
            campaign: Any = self.connection.hget(RQJob.key_for(rq_id), "campaign")
        except ResponseError:  # the key has another type
            campaign = None
        names = keys.texts([campaign]) if campaign else []
        if not names:
            return super().remove(job_or_id, pipeline)
        return script("remove").run(self.connection, id=rq_id, queue=self.name, campaign=names[0])
