"""RQ's queue as our queues are: RQ's own list, behind it each busy campaign's backlog, then what pauses hold back."""

from typing import Any

from django_rq.queues import DjangoRQ
from redis.exceptions import ResponseError
from rq.job import Job as RQJob

from jobs.broker import depths, keys
from jobs.broker.scripts import script


class Queue(DjangoRQ):
    """What RQ's tools see, with the backlogs and what pauses hold back counted and listed (see lua/fair_share.lua)."""

    @property
    def count(self) -> int:
        """How many ids wait, those that a pause holds back included."""
        return depths.read(self.connection, [self.name])[self.name].waiting

    def get_job_ids(self, offset: int = 0, length: int = -1) -> list[str]:
        """A slice of the ids: the list, then each campaign's backlog, then what is parked."""
        listed = int(super().count)
        last = None if length < 0 else offset + length
        ids = list(super().get_job_ids(offset, length)) if offset < listed else []
        start = listed
        for key, size in depths.aside(self.name, self.connection).items():
            if last is not None and start >= last:
                break
            low, high = max(0, offset - start), size if last is None else min(size, last - start)
            if low < high:
                found: Any = self.connection.lrange(key, low, high - 1)
                ids += keys.texts(found)
            start += size
        return ids

    def remove(self, job_or_id: Any, pipeline: Any = None) -> Any:
        """Take one id out, wherever it waits."""
        rq_id = job_or_id.id if isinstance(job_or_id, RQJob) else str(job_or_id)
        try:
            campaign: Any = self.connection.hget(RQJob.key_for(rq_id), "campaign")
        except ResponseError:  # something else stands under that key
            campaign = None
        names = keys.texts([campaign]) if campaign else []
        if not names:
            return super().remove(job_or_id, pipeline)
        return script("remove").run(self.connection, id=rq_id, queue=self.name, campaign=names[0])
