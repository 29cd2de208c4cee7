"""RQ's queue as our queues are: RQ's own list, behind it each busy campaign's backlog, then what pauses hold back."""

from typing import Any

from django_rq.queues import DjangoRQ
from redis.exceptions import ResponseError
from rq.job import Job as RQJob

from jobs.broker import keys, pauses
from jobs.broker.scripts import script


class Queue(DjangoRQ):
    """What RQ's tools see, with the backlogs and what pauses hold back counted and listed (see lua/fair_share.lua)."""

    @property
    def count(self) -> int:
        """How many ids wait in the list, the backlogs and parked."""
        return int(super().count) + sum(size for _, size in self._aside())

    def get_job_ids(self, offset: int = 0, length: int = -1) -> list[str]:
        """A slice of the ids: the list, then each campaign's backlog, then what is parked."""
        listed = int(super().count)
        last = None if length < 0 else offset + length
        ids = list(super().get_job_ids(offset, length)) if offset < listed else []
        start = listed
        for key, size in self._aside():
            if last is not None and start >= last:
                break
            low, high = max(0, offset - start), size if last is None else min(size, last - start)
            if low < high:
                found: Any = self.connection.lrange(key, low, high - 1)
                ids += keys.texts(found)
            start += size
        return ids

    def _aside(self) -> list[tuple[str, int]]:
        """The lists beside RQ's own, with their lengths."""
        sizes: Any = self.connection.hgetall(keys.BACKLOGGED.format(self.name))
        backlogs = [
            (keys.BACKLOG.format(self.name, campaign), int(keys.number(sizes[campaign.encode()]) or 0))
            for campaign in sorted(keys.texts(sizes))
        ]
        return [*backlogs, *pauses.parked(self.name, self.connection).items()]

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
