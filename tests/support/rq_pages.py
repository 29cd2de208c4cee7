"""The pages of RQ's dashboard."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from redis import Redis

QUEUES = tuple(settings.RQ_QUEUES)


def pages(redis: Redis, rq_id: str) -> Iterator[str]:
    """Every page of the dashboard that shows a job."""
    for queue in range(len(QUEUES)):
        base = f"/admin/queues/queues/{queue}"
        yield f"{base}/"
        for page in ("details", "finished", "failed", "scheduled", "started", "deferred", rq_id):
            yield f"{base}/{page}/"
        key = f"rq:results:{rq_id}"
        results: Any = redis.xrange(key) if redis.type(key) == b"stream" else []
        for result, _ in results:
            yield f"{base}/{rq_id}/results/{result.decode()}/"
        yield f"/admin/queues/workers/{queue}/"
        yield f"/admin/queues/schedulers/{queue}/"
    yield "/admin/queues/"
    yield "/admin/queues/stats.json"
    yield "/admin/queues/metrics"
