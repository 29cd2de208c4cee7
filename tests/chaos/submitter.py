"""A client of the HTTP API that works all the while, and remembers what it was told."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any, Final

from tests.chaos.ledgers import COUNTED_CAMPAIGN, GROWTH, Client, Commanded, Submitted
from tests.chaos.world import SECRET, World

EVERY_S: Final = 0.04
#: Where each command leads.
VERBS: Final = {"cancel": "CANCELLED", "discard": "CANCELLED", "retry": "QUEUED", "run-now": "QUEUED"}
VERBS_WITH_TIME: Final = {**VERBS, "reschedule": "SCHEDULED"}
#: Answers of a service that is in trouble, and says so; all others are either understood or a violation.
BUSY: Final = 503


class Submitter:
    """A thread that submits, repeats and commands until `stop`."""

    def __init__(self, world: World, seed: int) -> None:
        self.client = Client()
        self._world = world
        self._random = Random(seed)
        self._effects = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End with the request that runs."""
        self._stopping.set()
        self._thread.join(timeout=60)

    @property
    def unanswered(self) -> list[Submitted]:
        """What nobody knows of whether it was accepted."""
        return [submitted for submitted in self.client.submitted if not submitted.job_ids]

    def submit_again(self, submitted: Submitted) -> None:
        """Ask once more for the same work: harmless, because the same work is one job."""
        status, answer = self._call("jobs", submitted.body)
        if status in (200, 201):
            submitted.answers.append((status, answer["id"]))
        elif status not in (None, BUSY):
            self.client.odd.append(f"a submission was answered with {status}: {answer} for {dict(submitted.body)}")

    def _work(self) -> None:
        acts: list[tuple[int, Callable[[], None]]] = [
            (45, self._submit_effect),
            (15, self._submit_growth),
            (12, self._submit_other),
            (10, self._repeat),
            (15, self._command),
            (3, self._advance),
        ]
        weights, calls = zip(*acts, strict=True)
        while not self._stopping.wait(EVERY_S):
            self._random.choices(calls, weights)[0]()

    def _submit(self, **body: Any) -> None:
        submitted = Submitted(body)
        self.client.submitted.append(submitted)
        self.submit_again(submitted)

    def _soon(self) -> str:
        return (self._world.clock.now() + timedelta(seconds=self._random.uniform(-1, 6))).isoformat()

    def _submit_effect(self) -> None:
        self._effects += 1
        payload = {"effectId": f"effect-1-{self._effects}", "executeAt": self._soon()}
        more = {"priority": self._random.choice(["LOW", "NORMAL", "HIGH", "CRITICAL"])}
        self._submit(type="DEFERRED_EFFECT", campaignId="campaign-1", payload=payload, **more)

    def _submit_growth(self) -> None:
        number = COUNTED_CAMPAIGN.removeprefix("campaign-")
        settlement = f"settlement-{number}-{self._random.randint(1, 2)}-{self._random.randint(1, 3)}"
        payload = {"settlementId": settlement, "growthType": GROWTH}
        self._submit(type="SETTLEMENT_GROWTH", campaignId=COUNTED_CAMPAIGN, payload=payload, dueAt=self._soon())

    def _submit_other(self) -> None:
        campaign = f"campaign-{self._random.randint(1, 2)}"
        others: list[tuple[str, dict[str, str]]] = [
            ("EVENT_EXPIRATION", {}),
            ("RECALCULATE_SETTLEMENT_SCHEDULES", {}),
            ("RECALCULATE_STRUCTURE_SCHEDULES", {}),
            ("STRUCTURE_MAINTENANCE", {"structureId": "structure-2-1-1-1", "eventType": "MAINTENANCE_DUE"}),
        ]
        type_, payload = self._random.choice(others)
        self._submit(type=type_, campaignId=campaign, payload=payload, dueAt=self._soon())

    def _repeat(self) -> None:
        if self.client.submitted:
            self.submit_again(self._random.choice(self.client.submitted[-100:]))

    def _command(self) -> None:
        known = [submitted for submitted in self.client.submitted[-150:] if submitted.job_ids]
        if not known:
            return
        job_id = next(iter(self._random.choice(known).job_ids))
        verb = self._random.choice(sorted(VERBS_WITH_TIME))
        if verb == "retry" and self._may_be_applied(job_id):
            return
        status, answer = self._call(f"jobs/{job_id}/{verb}", {"dueAt": self._soon()} if verb == "reschedule" else {})
        if status == 200:
            self.client.commanded.append(Commanded(job_id, verb, VERBS_WITH_TIME[verb]))
        elif status not in (None, 409, BUSY):
            self.client.odd.append(f"{verb} of {job_id} was answered with {status}: {answer}")

    def _may_be_applied(self, job_id: str) -> bool:
        """Whether a retry might do the work twice, as the API says; so it is if the API says nothing."""
        status, job = self._call(f"jobs/{job_id}")
        return status != 200 or job["state"] not in ("DEAD", "CANCELLED") or bool(job["mayHaveBeenApplied"])

    def _advance(self) -> None:
        wanted = {"campaignId": "campaign-1", "minutes": self._random.randint(5, 60)}
        try:
            self._world.sandbox.control("POST", "advance", wanted)
        except OSError as error:
            self.client.odd.append(f"the sandbox itself did not advance: {error}")

    def _call(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int | None, Any]:
        """The status and the JSON of an answer; None if there was none."""
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._world.url}/api/{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return self._read(error)
        except (OSError, ValueError):  # no answer, or half of one
            return None, None

    def _read(self, error: urllib.error.HTTPError) -> tuple[int | None, Any]:
        try:
            text = error.read()
        except OSError:
            return None, None
        try:
            return error.code, json.loads(text)
        except ValueError:
            self.client.odd.append(f"HTTP {error.code} is no JSON: {text[:200]!r}")
            return None, None
