"""Which dead letters are the same failure, and the buckets of waits."""

import re
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import fingerprint as failure
from jobs import service
from jobs.fingerprint import LONGEST, fingerprint_of
from jobs.histogram import BOUNDS_MS, COLUMNS, count_waits, percentile, within
from jobs.ledger import Ending, moves
from jobs.models import FailureGroup, FailureHour, Job, OutcomeMinute
from jobs.outcome import Outcome
from jobs.service import Submission, submit
from jobs.states import State

NOW = timezone.now()
TRACE = """Traceback (most recent call last):
  File "/srv/app/jobs/main_api/client.py", line {line}, in settlements
    raise TransientError(message)
jobs.errors.TransientError: {words}
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("NotFound: settlement-12 is gone", "NotFound: settlement-7 is gone"),
        ("OutcomeUnknown: worker 9f2c.host-1 was lost", "OutcomeUnknown: worker a81d.host-2 was lost"),
        ("VersionConflict: 0190a1b2-7000-8000-a000-000000000001 changed 5 times", "VersionConflict: 7 changed 3 times"),
        ("X: a1, b2, c3 are wrong", "X: a1 are wrong"),
        (
            "X: 1 failures: event a-1: HTTP 500",
            "X: 3 failures: event a-1: HTTP 500; event b-2: HTTP 500",
        ),
    ],
)
def test_ids_and_numbers_do_not_change_a_fingerprint(one: str, other: str) -> None:
    """Anything with a digit is an ID or a number; a row of them counts as one."""
    assert fingerprint_of(one, "").key == fingerprint_of(other, "").key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("TransientError: HTTP 502 from the main API", "TransientError: HTTP 401 from the main API"),
        ("NotFound: settlement-1", "PermanentError: settlement-1"),
        ("KeyError: 'population'", "KeyError: 'resources'"),
    ],
)
def test_different_kinds_of_errors_are_different_failures(one: str, other: str) -> None:
    """By status, class and plain words."""
    assert fingerprint_of(one, "").key != fingerprint_of(other, "").key


def test_the_culprit_is_the_last_frame_without_its_line() -> None:
    """A release that moves the line makes no new failure; another function does."""
    one = fingerprint_of("X: no", TRACE.format(line=10, words="no"))

    assert one.culprit == "jobs/main_api/client.py in settlements"
    assert one.key == fingerprint_of("X: no", TRACE.format(line=99, words="no")).key
    assert one.key != fingerprint_of("X: no", "").key


@given(st.text(), st.text())
def test_every_error_has_a_fingerprint(error: str, traceback: str) -> None:
    """Whatever its text; and what is stored fits its columns."""
    failure = fingerprint_of(error, traceback)

    assert len(failure.key) == 16
    assert len(failure.error) <= 120
    assert len(failure.message) <= LONGEST
    assert len(failure.culprit) <= 200


@given(st.lists(st.floats(0, 1e7), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_percentiles_are_in_the_right_bucket(waits: list[float], share: float) -> None:
    """Buckets cost precision, never the order of magnitude."""
    true = sorted(waits)[max(0, -int(-share * len(waits) // 1) - 1)]
    found = percentile(share, count_waits(waits), jobs=len(waits), longest_ms=max(waits))

    edges = (0, *BOUNDS_MS, max(*waits, BOUNDS_MS[-1]))
    lower, upper = next((a, b) for a, b in pairwise(edges) if true <= b)
    assert found is not None
    assert lower - 1e-6 <= found <= upper + 1e-6


def test_no_jobs_have_no_percentile() -> None:
    """Nothing is said of nothing."""
    assert percentile(0.5, count_waits([]), jobs=0, longest_ms=0) is None
    assert within(1_000, count_waits([3, 999, 1000, 1001])) == 3


def running(campaign: str) -> Job:
    """A job that a worker has claimed."""
    job, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id=campaign, payload={}), actor="test")
    moves.cycle([], [str(job.pk)], actor="worker:w", worker="w", now=timezone.now())
    job.refresh_from_db()
    return job


def fail_for_good(jobs: list[Job], error: str) -> None:
    """The jobs' attempts end as dead letters."""
    failure = fingerprint_of(error, "")
    endings = [Ending(j, Outcome(State.DEAD, error, counts=True), error=error, failure=failure) for j in jobs]
    moves.cycle(endings, [], actor="worker:w", worker="w", now=NOW + timedelta(hours=1))


@pytest.mark.django_db(transaction=True)
def test_dead_letters_are_counted_by_failure_and_hour() -> None:
    """In the transaction of the ends themselves: the job's key, its group, its hour."""
    jobs = [running(f"c-{n}") for n in range(3)]
    fail_for_good(jobs[:2], "NotFound: event-1 is gone")
    fail_for_good(jobs[2:], "NotFound: event-2 is gone")

    (group,) = FailureGroup.objects.all()
    assert (group.error, group.message) == ("NotFound", "# is gone")
    assert FailureHour.objects.get().jobs == 3
    assert Job.objects.in_state(State.DEAD).filter(failure_key=group.key).count() == 3


@pytest.mark.django_db(transaction=True)
def test_waits_are_counted_in_buckets() -> None:
    """Each ended attempt is in one bucket of its minute, and minutes add up."""
    fail_for_good([running("c-1")], "X: y")
    fail_for_good([running("c-2")], "X: y")

    row = OutcomeMinute.objects.get()
    assert row.jobs == 2
    assert sum(getattr(row, column) for column in COLUMNS) == 2


@pytest.mark.django_db(transaction=True)
def test_a_dead_letter_can_be_discarded() -> None:
    """With who and why."""
    job = running("c-1")
    fail_for_good([job], "X: y")
    job.refresh_from_db()
    report = service.discard([job], actor="user:ann", reason="its campaign is gone")

    assert not report.skipped
    assert job.state == State.CANCELLED
    assert job.audit_trail.filter(was="DEAD", now="CANCELLED", actor="user:ann").exists()


_OF_BEFORE = re.compile(r"HTTP \d{3}\b|[\w.:+-]*\d[\w:+-]*(?:\.\w+)*")


@given(st.text("ab1. :+-;/,é9") | st.text("HTP 5aH1"))
def test_fingerprints_are_stable(words: str) -> None:
    """Faster patterns find the same as the former ones."""
    if "HTTP" in re.sub(r"(?<![\w.:+-])HTTP", "", words):
        return  # in the middle of a word, which the patterns of before took for its end
    before = _OF_BEFORE.sub(lambda found: found[0] if found[0].startswith("HTTP ") else "#", words)

    assert failure.without_numbers(words) == before


@pytest.mark.parametrize(
    "words",
    [
        "a" * 5_000_000,
        "a." * 2_000_000,
        "1" * 5_000_000,
        "1. " * 1_000_000,
        "# " * 2_000_000,
        "; " * 2_000_000,
        'File "' * 800_000,
        "\n File" * 800_000,
        ": " * 2_000_000,
        "HTTP " * 1_000_000,
    ],
    ids=lambda words: words[:8],
)
def test_a_fingerprint_of_a_huge_text_takes_milliseconds(words: str) -> None:
    """Five million letters."""
    began = time.process_time()

    fingerprint_of(f"X: {words}", words)
    fingerprint_of(words, words)

    assert time.process_time() - began < 2
