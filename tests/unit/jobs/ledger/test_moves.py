"""Every move is checked against MOVES: a forbidden one raises, and nothing is written."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from jobs.errors import StateConflict
from jobs.fingerprint import Fingerprint
from jobs.ledger import Ending, Entry, Move, moves, statements
from jobs.ledger.recording import Later
from jobs.ledger.sqlite_batches import ROWS
from jobs.models import AuditEntry, Job
from jobs.outcome import Outcome
from jobs.signals import job_moved
from jobs.states import MOVES, NEW, WAITING, State
from tests.support.locks import is_waiting
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db
PAIRS = list(product(State, State))


def a_job(state: State, number: int = 0) -> Job:
    """A job in that state, at its first attempt."""
    now = timezone.now()
    return Job.objects.create(
        type="X", unique_key=f"x-{number}", state=state, due_at=now, attempt=1, lease_until=now, source="test"
    )


def read_moves() -> list[tuple[str, str]]:
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
def test_a_single_move_is_checked_against_moves(was: State, to: State) -> None:
    """Every pair of states."""
    job = a_job(was)

    moved = attempt(lambda: moves.move(Move(job, to, "try"), actor="test"))

    assert moved == (to in MOVES[was])
    assert Job.objects.get().state == (to if moved else was)
    assert read_moves() == ([(was, to)] if moved else [])


@pytest.mark.parametrize(("was", "to"), PAIRS)
def test_a_batch_skips_forbidden_moves(was: State, to: State) -> None:
    """The others are made."""
    forbidden, dead = a_job(was), a_job(State.DEAD, 1)

    moved = moves.move_many([Move(forbidden, to, "try"), Move(dead, State.QUEUED, "try")], actor="test")

    assert [job.pk for job in moved] == [forbidden.pk] * (to in MOVES[was]) + [dead.pk]


@pytest.mark.parametrize(("was", "to"), PAIRS)
def test_the_end_of_an_attempt_is_checked_against_moves(was: State, to: State) -> None:
    """Whatever state the row is in; one forbidden end, and nothing of the batch is written."""
    good, job, queued = a_job(State.RUNNING, 1), a_job(was), a_job(State.QUEUED, 2)
    now = timezone.now()
    endings = [Ending(good, Outcome(State.SUCCEEDED, "done")), Ending(job, Outcome(to, "try"))]

    let_through = attempt(lambda: moves.cycle(endings, [str(queued.pk)], actor="test", worker="w", now=now))

    assert let_through == (to in MOVES[State.RUNNING])
    ended = let_through and was is State.RUNNING
    assert Job.objects.get(pk=job.pk).state == (to if ended else was)
    expected = [("RUNNING", "SUCCEEDED")] + [("RUNNING", to)] * ended + [("QUEUED", "RUNNING")]
    assert sorted(read_moves()) == (sorted(expected) if let_through else [])


@pytest.mark.parametrize("state", State)
def test_a_new_job_is_scheduled_or_queued(state: State) -> None:
    """No other state is accepted."""
    job = Job(type="X", unique_key="x", state=state, due_at=timezone.now(), source="test")

    assert attempt(lambda: moves.create_many([job], actor="test", reason="new")) == (state in NEW)
    assert Job.objects.count() == (state in NEW)


@pytest.mark.parametrize("was", State)
def test_only_waiting_jobs_are_queued_when_due(was: State) -> None:
    """Every state of a row; waiting ones move, with an audit entry."""
    job, now = a_job(was), timezone.now()

    queued = moves.queue_due([str(job.pk)], actor="test", reason="due", now=now)

    assert bool(queued) == (was in WAITING)
    assert read_moves() == [(was, State.QUEUED)] * len(queued)


@pytest.mark.parametrize("was", [State.QUEUED, *WAITING])
def test_a_change_of_moves_is_respected_everywhere(was: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims and due jobs check MOVES too, although their statements name the states."""
    job, now = a_job(was), timezone.now()
    monkeypatch.setattr(moves, "MOVES", dict.fromkeys(State, frozenset[State]()))

    with pytest.raises(StateConflict):
        moves.queue_due([str(job.pk)], actor="test", reason="due", now=now)
    with pytest.raises(StateConflict):
        moves.cycle([], [str(job.pk)], actor="test", worker="w", now=now)

    assert (Job.objects.get().state, read_moves()) == (was, [])


def test_forbidden_and_lost_moves_raise() -> None:
    """A move that MOVES forbids, or of a job that changed meanwhile, raises and records nothing."""
    job = a_job(State.QUEUED)
    stale = Job.objects.get(pk=job.pk)
    moves.move(Move(job, State.CANCELLED, "first"), actor="test")

    with pytest.raises(StateConflict):
        moves.move(Move(job, State.RUNNING, "forbidden"), actor="test")
    with pytest.raises(StateConflict):
        moves.move(Move(stale, State.CANCELLED, "lost"), actor="test")
    assert read_moves() == [("QUEUED", "CANCELLED")]
    with pytest.raises(TypeError):
        AuditEntry.objects.filter(job=job)[0].save()


def _explain(plans: list[str], execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if "UPDATE jobs_job" in sql:
        cursor = connection.connection.execute("EXPLAIN QUERY PLAN " + sql.replace("%s", "?"), params)
        plans.extend(str(row[3]) for row in cursor.fetchall())
    return execute(sql, params, many, context)


def test_moves_search_by_id_and_not_the_backlog() -> None:
    """SQLite must not scan the index on state, which is the whole backlog."""
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's planner only")
    job = a_job(State.QUEUED)
    plans: list[str] = []
    with connection.execute_wrapper(partial(_explain, plans)):
        moves.move(Move(job, State.CANCELLED, "x"), actor="test")

    assert any("sqlite_autoindex_jobs_job" in plan for plan in plans)
    assert not any("job_by_state" in plan or "job_queued" in plan for plan in plans)


@pytest.mark.parametrize("numbers", [(), (1,), (ROWS,), (3, ROWS + 1, 2, 2 * ROWS, ROWS - 1, 1)])
def test_entries_are_written_in_their_order(numbers: tuple[int, ...]) -> None:
    """However many in a row differ in their jobs only."""
    given = [
        Entry(str(uuid4()), timezone.now(), "", "QUEUED", n % 2, f"actor {n}", "said", n / 2 or None, "", details)
        for n, count in enumerate(numbers)
        for details in [None if n % 3 else '{"calls": [1]}']
        for _ in range(count)
    ]
    with transaction.atomic():
        statements().audit(given)

    written = AuditEntry.objects.order_by("id").values_list(
        "job_id", "at", "was", "now", "attempt", "actor", "reason", "duration_ms", "error", "details"
    )
    assert [(str(job_id), *rest) for job_id, *rest in written] == [
        (*e[:9], None if e.details is None else {"calls": [1]}) for e in given
    ]


@pytest.mark.django_db(transaction=True)
def test_moves_are_announced_in_order_and_once_whenever_they_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `later`, while the database works on the next ones; at once if a job goes on, which the caller needs."""
    monkeypatch.setattr(moves, "MANY", 1)
    later, said = Later(), list[tuple[str, str]]()

    def note(moves: list[Any], **_: Any) -> None:
        said.extend((m.job_id, m.now) for m in moves)

    job_moved.connect(note)  # by a weak reference, for as long as this test runs
    jobs, now = [a_job(State.QUEUED, number) for number in range(4)], timezone.now()
    endings: list[Ending] = []
    for ids, to in ((jobs[:2], State.SUCCEEDED), (jobs[2:3], State.SUCCEEDED), (jobs[3:], State.RETRYING), ([], None)):
        wanted = [str(job.pk) for job in ids]
        committed = moves.commit_cycle(endings, wanted, actor="test", worker="w", now=now, later=later)
        goes_on = any(e.to is State.RETRYING for e in endings)
        assert committed.can_wait == (statements().overlaps and not goes_on)
        if committed.can_wait:
            later.add(committed.announce)
        else:
            committed.announce()
        assert all(e.job.state == e.to for e in endings) or bool(later)
        endings = [Ending(job, Outcome(to, "try", due_at=now)) for job in committed.moved[1] if to]
    later.run()

    of_each = [[to for job_id, to in said if job_id == str(job.pk)] for job in jobs]
    assert of_each == [["RUNNING", "SUCCEEDED"]] * 3 + [["RUNNING", "RETRYING"]]
    assert [to for _, to in said] == [to for _, to in read_moves()]


@pytest.mark.django_db(transaction=True)
def test_what_has_moved_can_be_read_later() -> None:
    """After the next statement, and after its connection was closed."""
    jobs, now = [a_job(State.QUEUED, number) for number in range(3)], timezone.now()
    first, second = (
        moves.commit_cycle([], [str(job.pk) for job in part], actor="test", worker="w", now=now)
        for part in (jobs[:2], jobs[2:])
    )
    connection.close()

    assert [[claimed.id for claimed in one.moved[1]] for one in (first, second)] == [
        [str(job.pk) for job in part] for part in (jobs[:2], jobs[2:])
    ]


@pytest.mark.django_db(transaction=True)
def test_committed_moves_are_announced_whatever_becomes_of_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dead letter's transaction writes is not committed; nor does an error in one announcement stop others."""
    monkeypatch.setattr(moves, "MANY", 1)
    later, said = Later(), list[str]()

    def note(moves: list[Any], **_: Any) -> None:
        said.extend(m.now for m in moves)

    job_moved.connect(note)
    queued, running, now = a_job(State.QUEUED), a_job(State.RUNNING, 1), timezone.now()
    refused = Ending(
        running, Outcome(State.DEAD, "try"), result="no JSON", failure=Fingerprint(*["x"] * len(Fingerprint._fields))
    )
    later.add(partial(int, "no number"))
    later.add(moves.commit_cycle([], [str(queued.pk)], actor="test", worker="w", now=now, later=later).announce)
    with pytest.raises(DatabaseError):
        moves.commit_cycle([refused], [], actor="test", worker="w", now=now, later=later)
    later.run()

    assert said == ["RUNNING"]
    assert read_moves() == [("QUEUED", "RUNNING")]


def _wait_until_running(job: Job) -> bool:
    """In a thread, which has a connection of its own."""
    try:
        wait_until(Job.objects.filter(pk=job.pk, state=State.RUNNING).exists, within_s=20)
    finally:
        connections.close_all()
    return True


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_hangs_while_it_announces_keeps_no_row_locked() -> None:
    """Else its jobs could not be rescued: what the next cycle does is committed without it."""
    later, job, seen = Later(), a_job(State.QUEUED), list[bool]()
    with ThreadPoolExecutor(1) as others:
        later.add(lambda: seen.append(others.submit(_wait_until_running, job).result()))
        moves.commit_cycle([], [str(job.pk)], actor="test", worker="w", now=timezone.now(), later=later)
        later.run()

    assert seen == [True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer at a time")
def test_moves_lock_jobs_by_their_ids() -> None:
    """Two operators may have listed the same jobs in different orders."""
    first, second = a_job(State.QUEUED, 1), a_job(State.QUEUED, 2)

    def cancel() -> int:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                for plan in ("seqscan", "hashjoin", "mergejoin"):  # jobs of a large table are found by an index
                    cursor.execute(f"SET LOCAL enable_{plan} = off")
                return len(moves.move_many([Move(job, State.CANCELLED, "x") for job in (second, first)], actor="test"))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as others:
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=first.pk)
            other = others.submit(cancel)
            wait_until(is_waiting, what="the other one waits")
            Job.objects.select_for_update().get(pk=second.pk)
        assert other.result(60) == 2


def test_what_is_said_meanwhile_survives_a_statement_that_fails() -> None:
    """The connection is as good as before, and so are the ends: the next cycle records them."""
    later, said = Later(), list[str]()
    later.add(lambda: said.append("earlier"))
    job = a_job(State.RUNNING)
    ending = Ending(job, Outcome(State.SUCCEEDED, "done"), result="no JSON")

    with pytest.raises(DatabaseError), transaction.atomic():
        moves.commit_cycle([ending], [], actor="test", worker="w", now=timezone.now(), later=later)
    later.run()
    moves.commit_cycle([ending.bare()], [], actor="test", worker="w", now=timezone.now(), later=later)

    assert said == ["earlier"]
    assert (Job.objects.get().state, read_moves()) == ("SUCCEEDED", [("RUNNING", "SUCCEEDED")])
