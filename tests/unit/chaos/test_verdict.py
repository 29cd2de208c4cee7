"""The verdict finds each violation that is planted, and nothing in ledgers that agree."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.chaos.ledgers import Applied, Audited, Client, Commanded, Entry, JobRow, Submitted
from tests.chaos.logs import find_unexplained
from tests.chaos.verdict import violations

DUE = datetime(2026, 1, 1, tzinfo=UTC)
PATH = ("QUEUED", "RUNNING", "SUCCEEDED")


@dataclass(slots=True)
class Ledgers:
    """Three ledgers to plant violations in."""

    client: Client = field(default_factory=Client)
    audited: Audited = field(default_factory=lambda: Audited({}, {}))
    applied: Applied = field(default_factory=lambda: Applied(Counter(), {}))

    def violations(self, *, clock_was_set: bool = False) -> list[str]:
        return violations(self.client, self.audited, self.applied, clock_was_set=clock_was_set)

    def add(self, job: JobRow, *path: str, last: str = "") -> None:
        """Add a job whose trail goes through these states."""
        attempt = 0
        entries: list[Entry] = []
        for was, now in zip(("", *path), path, strict=False):
            attempt += now == "RUNNING"
            actor = "worker:w" if was else "token:tests"
            at = DUE + timedelta(seconds=len(entries))
            entries.append(Entry(job_id=job.id, at=at, was=was, now=now, attempt=attempt, actor=actor, reason="r"))
        entries[-1] = replace(entries[-1], reason=last)
        self.audited.jobs[job.id] = replace(job, state=path[-1], attempt=attempt)
        self.audited.trails[job.id] = entries

    def change(self, job_id: str, **changes: object) -> None:
        """Change a job, and nothing else."""
        self.audited.jobs[job_id] = replace(self.audited.jobs[job_id], **changes)  # type: ignore[arg-type]

    def grow(self, count: int) -> None:
        """Let the settlement have grown so often."""
        self.applied = Applied(self.applied.effects, {"settlement-3-1-1": count})

    def change_entry(self, job_id: str, number: int, **changes: object) -> None:
        """Change an audit entry, and nothing else."""
        entry = self.audited.trails[job_id][number]
        self.audited.trails[job_id][number] = replace(entry, **changes)  # type: ignore[arg-type]


def job(job_id: str, type_: str, campaign: str, subject: str) -> JobRow:
    return JobRow(
        id=job_id,
        type=type_,
        campaign_id=campaign,
        subject=subject,
        payload={},
        state="",
        attempt=0,
        may_have_been_applied=False,
        source="token:tests",
        due_at=DUE,
    )


@pytest.fixture
def ledgers() -> Ledgers:
    """An effect, a growth and a cron task's job, each done once."""
    found = Ledgers()
    effect = {"type": "DEFERRED_EFFECT", "campaignId": "campaign-1", "payload": {"effectId": "e"}}
    found.client.submitted.append(Submitted(effect, [(201, "1"), (200, "1")]))
    found.add(job("1", "DEFERRED_EFFECT", "campaign-1", "e"), *PATH)
    found.add(job("2", "SETTLEMENT_GROWTH", "campaign-3", "settlement-3-1-1:RESOURCE_GENERATION"), *PATH)
    found.add(replace(job("3", "EVENT_EXPIRATION", "", ""), source="cron:expiry"), *PATH)
    found.applied = Applied(Counter(e=1), {"settlement-3-1-1": 1, "settlement-3-1-2": 0})
    return found


def test_agreeing_ledgers_have_no_violation(ledgers: Ledgers) -> None:
    """Also if unknown outcomes are marked as such."""
    ledgers.add(job("4", "DEFERRED_EFFECT", "campaign-1", "f"), "QUEUED", "RUNNING", "DEAD")
    ledgers.change("4", may_have_been_applied=True, source="admin")
    for count in (0, 1):
        ledgers.applied.effects["f"] = count
        assert ledgers.violations() == []


def _lost(found: Ledgers) -> None:
    del found.audited.jobs["1"], found.audited.trails["1"]


def _two_jobs(found: Ledgers) -> None:
    found.client.submitted[0].answers.append((200, "2"))


def _executed_unsaid(found: Ledgers) -> None:
    found.add(found.audited.jobs["1"], "QUEUED", "RUNNING", "DEAD")


def _never_executed(found: Ledgers) -> None:
    found.applied.effects.clear()


def _stuck(found: Ledgers) -> None:
    found.add(found.audited.jobs["1"], "QUEUED", "RUNNING", "RETRYING")


def _fired_twice(found: Ledgers) -> None:
    found.add(replace(found.audited.jobs["3"], id="5"), *PATH)


CANCELLED = Commanded("1", "cancel", "CANCELLED")
PLANTED: dict[str, tuple[str, Callable[[Ledgers], object]]] = {
    "executed twice": ("executed 2 times", lambda x: x.applied.effects.update(e=1)),
    "executed for nobody": ("for no job", lambda x: x.applied.effects.update(z=1)),
    "never executed": ("never executed", _never_executed),
    "executed, and a dead letter says no": ("not that it may have been", _executed_unsaid),
    "accepted and lost": ("not in the database", _lost),
    "one work, two jobs": ("several jobs", _two_jobs),
    "other work": ("other work", lambda x: x.change("1", type="EVENT_EXPIRATION")),
    "stuck": ("still RETRYING", _stuck),
    "a state without an entry": ("does not end in its state", lambda x: x.change("3", state="DEAD")),
    "no trail": ("does not begin", lambda x: x.audited.trails["3"].clear()),
    "a trail without a job": ("is no job", lambda x: x.audited.trails.update({"9": []})),
    "a gap in a trail": ("is followed by", lambda x: x.audited.trails["3"].pop(1)),
    "a move that there is not": ("is followed by", lambda x: x.change_entry("3", 1, now="SKIPPED")),
    "an attempt that goes back": ("attempt 1 is followed by 0", lambda x: x.change_entry("3", 2, attempt=0)),
    "an entry of nobody": ("no actor", lambda x: x.change_entry("3", 1, actor="")),
    "a growth twice": ("has grown 2 times", lambda x: x.grow(2)),
    "a growth lost": ("has grown 0 times", lambda x: x.grow(0)),
    "a firing twice": ("fired 2 times", _fired_twice),
    "a command unaudited": ("0 are audited", lambda x: x.client.commanded.append(CANCELLED)),
    "an answer that nobody understands": ("a page", lambda x: x.client.odd.append("a page")),
    "too early": ("started at", lambda x: x.change("3", due_at=DUE + timedelta(hours=1))),
}


@pytest.mark.parametrize(("says", "plant"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_found(ledgers: Ledgers, says: str, plant: Callable[[Ledgers], object]) -> None:
    """Every rule can fail."""
    plant(ledgers)

    assert any(says in violation for violation in ledgers.violations())


def test_a_changed_clock_excuses_early_jobs(ledgers: Ledgers) -> None:
    """And nothing else."""
    ledgers.change("3", due_at=DUE + timedelta(hours=1))

    assert ledgers.violations(clock_was_set=True) == []


def test_unexplained_log_lines_are_found(tmp_path: Path) -> None:
    """A bug of ours, though not a lost connection."""
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\n'
    caused = f"{trace}ValueError: cause\n\nThe above exception was the direct cause of\n\n"
    (tmp_path / "worker-1-99.log").write_text(
        f"a\n{caused}{trace}django.db.utils.OperationalError: gone\nb\n{trace}KeyError: 'x'\nc\n{trace}KeyError: 'x'\n"
    )

    assert list(find_unexplained(tmp_path)) == ["worker-1 logged KeyError: 'x' (2 times)"]
