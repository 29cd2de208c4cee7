"""MOVES is the gate for every move: what it forbids raises, and nothing is written."""

from collections.abc import Callable
from itertools import product

import pytest
from django.utils import timezone

from jobs.errors import StateConflict
from jobs.ledger import moves
from jobs.ledger.moves import Ending, Move
from jobs.models import AuditEntry, Job
from jobs.states import MOVES, NEW, WAITING, State

pytestmark = pytest.mark.django_db
PAIRS = list(product(State, State))


def a_job(state: State, number: int = 0) -> Job:
    """A job in that state, at its first attempt."""
    now = timezone.now()
    return Job.objects.create(
        type="X", unique_key=f"x-{number}", state=state, due_at=now, attempt=1, lease_until=now, source="test"
    )


def recorded() -> list[tuple[str, str]]:
    """All moves in the audit trail."""
    return list(AuditEntry.objects.order_by("id").values_list("was", "now"))


def attempt(move: Callable[[], object]) -> bool:
    """Whether the gate let it through."""
    try:
        move()
    except StateConflict:
        return False
    return True


@pytest.mark.parametrize(("was", "to"), PAIRS)
def test_a_single_move_passes_the_gate(was: State, to: State) -> None:
    """Every pair of states."""
    job = a_job(was)

    moved = attempt(lambda: moves.move(Move(job, to, "try"), actor="test"))

    assert moved == (to in MOVES[was])
    assert Job.objects.get().state == (to if moved else was)
    assert recorded() == ([(was, to)] if moved else [])


@pytest.mark.parametrize(("was", "to"), PAIRS)
def test_many_moves_leave_the_forbidden_ones_out(was: State, to: State) -> None:
    """A batch of which a part may move moves that part."""
    forbidden, dead = a_job(was), a_job(State.DEAD, 1)

    moved = moves.move_many([Move(forbidden, to, "try"), Move(dead, State.QUEUED, "try")], actor="test")

    assert [job.pk for job in moved] == [forbidden.pk] * (to in MOVES[was]) + [dead.pk]


@pytest.mark.parametrize(("was", "to"), PAIRS)
def test_the_end_of_an_attempt_passes_the_gate(was: State, to: State) -> None:
    """Whatever state the row is in; one forbidden end in a batch, and nothing of the batch is written."""
    good, job, queued = a_job(State.RUNNING, 1), a_job(was), a_job(State.QUEUED, 2)
    now = timezone.now()
    endings = [Ending(good, State.SUCCEEDED, "done"), Ending(job, to, "try")]

    let_through = attempt(lambda: moves.cycle(endings, [str(queued.pk)], actor="test", worker="w", now=now))

    assert let_through == (to in MOVES[State.RUNNING])
    ended = let_through and was is State.RUNNING
    assert Job.objects.get(pk=job.pk).state == (to if ended else was)
    expected = [("RUNNING", "SUCCEEDED")] + [("RUNNING", to)] * ended + [("QUEUED", "RUNNING")]
    assert sorted(recorded()) == (sorted(expected) if let_through else [])


@pytest.mark.parametrize("state", State)
def test_a_job_begins_as_new_ones_do(state: State) -> None:
    """SCHEDULED or QUEUED."""
    job = Job(type="X", unique_key="x", state=state, due_at=timezone.now(), source="test")

    assert attempt(lambda: moves.create_many([job], actor="test", reason="new")) == (state in NEW)
    assert Job.objects.count() == (state in NEW)


@pytest.mark.parametrize("was", State)
def test_only_what_waits_is_queued_when_it_is_due(was: State) -> None:
    """Every state of a row; what waits and is due moves, with its entry."""
    job, now = a_job(was), timezone.now()

    queued = moves.queue_due([str(job.pk)], actor="test", reason="due", now=now)

    assert bool(queued) == (was in WAITING)
    assert recorded() == [(was, State.QUEUED)] * len(queued)


@pytest.mark.parametrize("was", [State.QUEUED, *WAITING])
def test_a_change_of_moves_closes_every_way(was: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims and due jobs ask MOVES too, although their statements name the states."""
    job, now = a_job(was), timezone.now()
    monkeypatch.setattr(moves, "MOVES", dict.fromkeys(State, frozenset[State]()))

    with pytest.raises(StateConflict):
        moves.queue_due([str(job.pk)], actor="test", reason="due", now=now)
    with pytest.raises(StateConflict):
        moves.cycle([], [str(job.pk)], actor="test", worker="w", now=now)

    assert (Job.objects.get().state, recorded()) == (was, [])
