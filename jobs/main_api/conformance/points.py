"""The points in which a main API may differ from its contract: docs/main-api.md describes each."""

from collections.abc import Callable
from typing import Final, NamedTuple

from jobs.main_api.conformance import judge_errors, judge_reads, judge_writes
from jobs.main_api.conformance.gather import Facts
from jobs.main_api.conformance.report import Judgement, PointVerdict, Verdict, quote


class Point(NamedTuple):
    number: int
    what: str
    judge: Callable[[Facts], Judgement]
    advice: str  #: what the main API's owners must change where it differs


POINTS: Final = (
    Point(1, "Context of effects", judge_writes.context, "apply an effect to its entity, whatever its context holds"),
    Point(2, "Names", judge_reads.names, "declare every name as a String"),
    Point(3, "World time of campaigns", judge_reads.clocks, "serve Campaign.currentWorldTime as ISO 8601"),
    Point(4, "Times of events", judge_reads.times, "serve scheduledAt, occurredAt and archivedAt as ISO 8601"),
    Point(5, "Path of errors", judge_errors.paths, "keep errors[].path"),
    Point(6, "Code of errors", judge_errors.codes, "keep errors[].extensions.code, in production too"),
    Point(
        7,
        "Missing objects and conflicts",
        judge_errors.kinds,
        "compare expectedVersion, and answer NOT_FOUND, OPTIMISTIC_LOCK or CONFLICT",
    ),
    Point(8, "IDs in inputs", judge_writes.input_ids, "accept its own IDs as branchId and campaignId"),
    Point(
        9,
        "API keys",
        judge_reads.credential,
        "accept x-api-key for every query and mutation. Or give the scheduler a JWT in API_SERVICE_ACCOUNT_TOKEN",
    ),
    Point(
        10,
        "Rights of the credential",
        judge_writes.rights,
        "allow the service account updateSettlement, updateStructure, expireEvent and executeEffect",
    ),
    Point(11, "Advancing world time", judge_writes.advancing, "let advanceWorldTime succeed when nobody else advances"),
    Point(
        12,
        "Messages",
        judge_reads.messages,
        "publish campaign.<id>.worldTimeAdvanced and campaign.<id>.entityModified in the Redis of REDIS_URL",
    ),
    Point(
        13,
        "World time of updates",
        judge_writes.dating,
        "take worldTime in UpdateSettlementInput and UpdateStructureInput",
    ),
    Point(14, "Completing events", judge_writes.completing, "let completeEvent apply the event's effects"),
    Point(15, "Result of effects", judge_writes.results, "fill EffectExecutionResult.affectedFields"),
    Point(16, "Reading effects", judge_reads.effects, "let getEffect find every effect, with its entityType as stored"),
    Point(17, "Limits and caches", judge_reads.limits, "serve lists that are fresh, and accept requests above 100 KB"),
)


def judge(facts: Facts) -> list[PointVerdict]:
    """The verdict of every point."""
    return [_verdict(point, point.judge(facts)) for point in POINTS]


def _verdict(point: Point, judgement: Judgement) -> PointVerdict:
    differs = judgement.verdict in (Verdict.TOLERATED, Verdict.FAULT)
    return PointVerdict(
        point=point.number,
        what=point.what,
        verdict=judgement.verdict,
        found=quote(judgement.found),
        advice=point.advice if differs else "",
    )
