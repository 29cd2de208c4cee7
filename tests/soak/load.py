"""The load: real jobs of several types, due within seconds, at a steady rate."""

import time
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone

from jobs import service
from jobs.service import Submission

ACTOR: Final = "soak"
EVERY_S: Final = 0.1
SETTLEMENTS: Final = 50  #: of each kingdom
AHEAD_S: Final = 2.0  #: how long before its due time a job is submitted


class Load:
    """Submits `rate` jobs a second in this process, as the listener does in its own."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.submitted = 0

    def run(self, seconds: float) -> None:
        """Submit for so long. What it could not submit in time it submits as soon as it can."""
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            wanted = int(now * self._rate) - self.submitted
            for _ in range(0, wanted, 200):
                self._submit(min(wanted, 200))
            time.sleep(EVERY_S)

    def _submit(self, count: int) -> None:
        due = timezone.now() + timedelta(seconds=AHEAD_S)
        spread = timedelta(seconds=EVERY_S / max(count, 1))
        submissions = [self._job(self.submitted + n, due + n * spread) for n in range(count)]
        service.submit_many(submissions, actor=ACTOR)
        self.submitted += count

    def _job(self, number: int, due: Any) -> Submission:
        if number % 4 == 0:
            settlement = f"settlement-3-{number // 4 % 2 + 1}-{number // 8 % SETTLEMENTS + 1}"
            payload = {"settlementId": settlement, "growthType": "RESOURCE_GENERATION"}
            return Submission(
                type="SETTLEMENT_GROWTH",
                campaign_id="campaign-3",
                payload=payload,
                due_at=due,
                subject=f"{settlement}:{number}",
            )
        if number % 4 == 1:
            return Submission(
                type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, due_at=due, subject=str(number)
            )
        payload = {"effectId": f"effect-1-{number % 3 + 1}", "executeAt": due.isoformat()}
        return Submission(
            type="DEFERRED_EFFECT", campaign_id="campaign-1", payload=payload, subject=f"{payload['effectId']}:{number}"
        )
