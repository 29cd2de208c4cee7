"""The verdict: what the three ledgers say against each other. Pure functions; each returns its violations."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from jobs.states import ENDED, MOVES, State
from tests.chaos.ledgers import CLIENT, COUNTED_CAMPAIGN, GROWTH, Applied, Audited, Client, Entry, JobRow, Submitted

_ENDED = frozenset(state.value for state in ENDED)


def violations(client: Client, audited: Audited, applied: Applied, *, clock_was_set: bool) -> list[str]:
    """Everything that is wrong."""
    found = [
        *client.odd,
        *of_submissions(client, audited),
        *of_commands(client, audited),
        *of_ends(audited),
        *of_trails(audited),
        *of_effects(client, audited, applied),
        *of_growths(audited, applied),
        *of_cron(audited),
    ]
    return found if clock_was_set else [*found, *of_early_starts(audited)]


def of_submissions(client: Client, audited: Audited) -> Iterator[str]:
    """What was accepted is one job, the client's own work; what is a job was submitted."""
    by_work = Counter(_work_of(job) for job in audited.jobs.values() if job.source == CLIENT)
    known = set()
    for submitted in client.submitted:
        known |= submitted.job_ids
        if len(submitted.job_ids) > 1:
            yield f"the same work became several jobs: {sorted(submitted.job_ids)}"
        for job_id in submitted.job_ids:
            job = audited.jobs.get(job_id)
            if job is None:
                yield f"{job_id} was accepted and is not in the database"
            elif not _is_that_work(submitted, job):
                yield f"{job_id} is other work than was submitted: {dict(submitted.body)}"
    for work, count in by_work.items():
        if count > 1 and work[0] == "DEFERRED_EFFECT":
            yield f"{count} jobs for the same work: {work}"
    wanted = {submitted.effect for submitted in client.submitted} - {""}
    for job in audited.jobs.values():
        if job.source == CLIENT and job.id not in known and job.type == "DEFERRED_EFFECT" and job.subject not in wanted:
            yield f"{job.id} was submitted by nobody"


def _work_of(job: JobRow) -> tuple[str, str, str]:
    return job.type, job.campaign_id, job.subject


def _is_that_work(submitted: Submitted, job: JobRow) -> bool:
    body = submitted.body
    return (body["type"], body["campaignId"]) == (job.type, job.campaign_id) and (
        not submitted.effect or submitted.effect == job.subject
    )


def of_commands(client: Client, audited: Audited) -> Iterator[str]:
    """What was answered with 200 has its audit entry."""
    wanted = Counter((command.job_id, command.to) for command in client.commanded)
    for (job_id, to), count in wanted.items():
        entries = [e for e in audited.trails.get(job_id, []) if e.actor == CLIENT and e.now == to and e.was]
        if len(entries) < count:
            yield f"{job_id}: {count} commands to {to} were answered with 200, {len(entries)} are audited"


def of_ends(audited: Audited) -> Iterator[str]:
    """After healing every job of the client's has ended, or is a dead letter that an operator sees."""
    for job in audited.jobs.values():
        if job.source == CLIENT and job.state not in _ENDED:
            yield f"{job.id} ({job.type}) is still {job.state} at attempt {job.attempt}"


def of_trails(audited: Audited) -> Iterator[str]:
    """Every job's entries are a chain of allowed moves, from its submission to its state."""
    for job in audited.jobs.values():
        trail = audited.trails.get(job.id, [])
        fault = _fault_of(trail, job)
        if fault:
            yield f"{job.id}: {fault}: {[(e.was, e.now, e.attempt) for e in trail]}, it is {job.state}"
    for job_id in audited.trails.keys() - audited.jobs.keys():
        yield f"{job_id} has audit entries and is no job"


def _fault_of(trail: list[Entry], job: JobRow) -> str:
    if not trail or trail[0].was:
        return "its trail does not begin with its submission"
    if trail[-1].now != job.state:
        return "its trail does not end in its state"
    if any(not entry.actor for entry in trail):
        return "an entry has no actor"
    for before, after in pairwise(trail):
        if after.was != before.now or State(after.now) not in MOVES[State(after.was)]:
            return f"{before.now} is followed by {after.was} → {after.now}"
        # A job that has to wait is claimed without an entry until the wait is over.
        least = before.attempt + (after.now == State.RUNNING)
        may_skip = (after.was, after.now) == (State.RETRYING, State.QUEUED)
        if after.attempt < least or (after.attempt > least and not may_skip):
            return f"attempt {before.attempt} is followed by {after.attempt}"
    return ""


def of_effects(client: Client, audited: Audited, applied: Applied) -> Iterator[str]:
    """Nothing twice, nothing lost, nothing uninvited."""
    jobs = {job.subject: job for job in audited.jobs.values() if job.type == "DEFERRED_EFFECT"}
    for effect, count in applied.effects.items():
        if count > 1:
            yield f"{effect} was executed {count} times"
        if effect not in jobs:
            yield f"{effect} was executed for no job"
    for effect, job in jobs.items():
        count = applied.effects[effect]
        if job.state == State.SUCCEEDED and not count:
            yield f"{effect} was never executed, {job.id} says SUCCEEDED"
        elif job.state != State.SUCCEEDED and count and not job.may_have_been_applied:
            yield f"{effect} was executed, {job.id} says {job.state} and not that it may have been applied"
    for effect in {submitted.effect for submitted in client.submitted if submitted.job_ids} - {""} - jobs.keys():
        yield f"{effect} was accepted and has no job"


def of_growths(audited: Audited, applied: Applied) -> Iterator[str]:
    """Each growth by hand is applied once: as often as jobs say so, at most those more that do not know."""
    certain: Counter[str] = Counter()
    unsure: Counter[str] = Counter()
    for job in audited.jobs.values():
        if job.campaign_id != COUNTED_CAMPAIGN or not job.subject.endswith(f":{GROWTH}"):
            continue
        settlement = job.subject.partition(":")[0]
        last = audited.trails[job.id][-1].reason if audited.trails.get(job.id) else ""
        if job.state == State.SUCCEEDED or (job.state == State.SKIPPED and "applied already" in last):
            certain[settlement] += 1
        elif job.attempt:
            unsure[settlement] += 1
    for settlement, count in applied.growths.items():
        least, most = certain[settlement], certain[settlement] + unsure[settlement]
        if not least <= count <= most:
            yield f"{settlement} has grown {count:g} times; jobs say {least} to {most}"


def of_cron(audited: Audited) -> Iterator[str]:
    """A cron task fires once for each of its times."""
    fired: dict[str, list[str]] = defaultdict(list)
    for job in audited.jobs.values():
        if job.source.startswith("cron:"):
            fired[f"{job.source} at {job.due_at}"].append(job.id)
    for firing, ids in fired.items():
        if len(ids) > 1:
            yield f"{firing} fired {len(ids)} times"


def of_early_starts(audited: Audited) -> Iterator[str]:
    """No job starts before its due time. One that was moved or retried has had other due times: it is left out."""
    for job in audited.jobs.values():
        trail = audited.trails.get(job.id, [])
        first = next((entry for entry in trail if entry.now == State.RUNNING), None)
        moved = any(entry.actor.startswith(("token:", "user:")) for entry in trail[1:])
        if first and job.attempt == 1 and not moved and first.at < job.due_at:
            yield f"{job.id} was due at {job.due_at} and started at {first.at}"
