"""Kills a worker at a chosen step, in this process: nothing of the attempt runs after it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs.engine.scheduler.rescuer import Rescuer
from jobs.models import Job


class Killed(BaseException):
    """kill -9, as far as the attempt can tell."""


@contextmanager
def kill_at(step: int, *methods: tuple[type, str]) -> Iterator[list[int]]:
    """Raise Killed before or after the n-th call of these methods; steps count from 1, two for each call.

    Yields a list whose only number is how many steps were left.
    """
    left = [step]

    def pass_step() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def interrupt(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            pass_step()
            answer = method(*args, **kwargs)
            pass_step()
            return answer

        return call

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in methods:
            patch.setattr(owner, name, interrupt(getattr(owner, name)))
        yield left


def rescue(job: Job, redis: Redis) -> Job:
    """The job after the active scheduler has found that its worker is gone."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    rescuer = Rescuer(redis)
    rescuer.checked_at = timezone.now()
    rescuer.free_expired(timezone.now())
    job.refresh_from_db()
    return job
