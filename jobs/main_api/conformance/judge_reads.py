"""The judges of what is read: names, times, the credential, effects, limits and messages."""

from collections.abc import Iterable
from typing import Any, Final

from jobs.errors import NotFound, TooLarge
from jobs.main_api.conformance.asker import Asked
from jobs.main_api.conformance.gather import BYTES_OF_LARGE, FIELDS_OF_LARGE, Facts, result_of
from jobs.main_api.conformance.report import Judgement, Verdict
from jobs.world.clock import WorldTime, iso_text

FITS, TOLERATED, FAULT, NOT_SEEN = Verdict.FITS, Verdict.TOLERATED, Verdict.FAULT, Verdict.NOT_SEEN
_NAMED: Final = ("Campaign", "Kingdom", "Settlement", "Structure", "Event", "Encounter")


def names(facts: Facts) -> Judgement:
    """Point 2."""
    declared = {kind: facts.types.get(kind, {}).get("name") for kind in _NAMED}
    odd = [f"{kind}.name is {found}" for kind, found in declared.items() if found not in (None, "String!", "String")]
    if facts.why_no_names or odd:
        why = facts.why_no_names or ", ".join(odd)
        return Judgement(TOLERATED, f"names cannot be read, and IDs are shown in their place: {why}")
    if facts.raw_campaigns:
        return Judgement(FITS, "names can be read")
    if declared["Campaign"]:
        return Judgement(FITS, "names are declared as String")
    return Judgement(NOT_SEEN, "there is no campaign whose name could be read")


def clocks(facts: Facts) -> Judgement:
    """Point 3."""
    found = [campaign.get("currentWorldTime") for campaign in facts.raw_campaigns]
    return _times(found, "currentWorldTime", needed="a campaign with a world time")


def times(facts: Facts) -> Judgement:
    """Point 4."""
    events = [event.get(name) for event in facts.events for name in ("scheduledAt", "occurredAt")]
    archived = [settlement.get("archivedAt") for settlement in facts.settlements]
    asked = facts.reads.get("getOverdueEvents")
    if asked and asked.failure:
        return Judgement(NOT_SEEN, f"overdue events cannot be read: {asked.failure}")
    return _times([*events, *archived], "a time", needed="an overdue event")


def _times(values: Iterable[Any], what: str, *, needed: str) -> Judgement:
    given = [value for value in values if value is not None]
    for value in given:
        try:
            WorldTime.parse(iso_text(value))
        except ValueError:
            return Judgement(FAULT, f"{what} is {value!r}, which the scheduler cannot read")
    if not given:
        return Judgement(NOT_SEEN, f"there is no time to read; needed: {needed}")
    other = next((value for value in given if iso_text(value) != value), None)
    if other is not None:
        return Judgement(TOLERATED, f"{what} is {other!r}, read as {iso_text(other)}")
    return Judgement(FITS, f"{what} is ISO 8601, such as {given[0]}")


def credential(facts: Facts) -> Judgement:
    """Point 9."""
    refused = sorted(name for name, asked in facts.reads.items() if asked.is_refused)
    if not facts.is_key:
        return Judgement(FITS, "the credential is not an API key, so that this does not matter")
    if refused:
        return Judgement(FAULT, f"the API key may read campaigns, but not {', '.join(refused)}")
    if not facts.reads:
        return Judgement(NOT_SEEN, "there is nothing but campaigns to read")
    return Judgement(FITS, f"the API key may read {', '.join(facts.reads)}")


def effects(facts: Facts) -> Judgement:
    """Point 16."""
    effect, run = facts.effect, facts.dry_run
    if not run:
        return Judgement(NOT_SEEN, facts.why_no_effect)
    if effect:
        kind = str(effect.get("entityType"))
        if kind.isupper():
            return Judgement(TOLERATED, f"entityType is {kind} in upper case")
        return Judgement(FITS, f"getEffect finds {facts.effect_id}, whose entityType is {kind}; others were not tried")
    if result_of(run).get("success") is True:
        return Judgement(TOLERATED, f"getEffect does not find {facts.effect_id}, which executeEffect runs")
    return Judgement(NOT_SEEN, f"{facts.effect_id} cannot be read, and its dry run fails: {run.why('executeEffect')}")


def limits(facts: Facts) -> Judgement:
    """Point 17."""
    found = [
        _limit(facts.complex, f"a query of {FIELDS_OF_LARGE:,} fields"),
        _limit(facts.large, f"a request of {BYTES_OF_LARGE:,} bytes"),
    ]
    refused = [f"{what} is refused" for what, is_refused in found if is_refused]
    stale = [one for one in facts.settlements if facts.settlement and one.get("id") == facts.settlement.id]
    if facts.settlement and any(one.get("version") != facts.settlement.version for one in stale):
        refused.append("settlementsByKingdom is older than settlement")
    if refused:
        return Judgement(TOLERATED, f"{' and '.join(refused)}; batches are kept smaller")
    unknown = [what for what, is_refused in found if is_refused is None]
    if unknown:
        return Judgement(NOT_SEEN, f"{' and '.join(unknown)} failed for another reason")
    return Judgement(
        FITS, f"{' and '.join(what for what, _ in found)} are accepted; whether lists are cached was not tried"
    )


def _limit(asked: Asked | None, what: str) -> tuple[str, bool | None]:
    """Whether a request was refused for its size; None if that is not known."""
    if asked and asked.kind is not None and issubclass(asked.kind, TooLarge):
        return what, True
    accepted = asked is not None and asked.is_answered and (not asked.error or asked.kind is NotFound)
    return what, False if accepted else None


def messages(facts: Facts) -> Judgement:
    """Point 12."""
    heard = facts.heard
    if heard is None:
        return Judgement(NOT_SEEN, "Redis does not answer")
    if heard.by_entity > heard.by_campaign:
        silent = "" if heard.world_time else ", none of world time, so that clocks are polled"
        return Judgement(TOLERATED, f"messages name the entity{silent}")
    if not heard.by_campaign and not heard.world_time:
        return Judgement(NOT_SEEN, "the listener has heard no message; needed: a change in the main API while it runs")
    kinds = {"worldTimeAdvanced": heard.world_time, "entityModified": heard.by_campaign}
    said = " and ".join(f"campaign.<id>.{kind}" for kind, at in kinds.items() if at)
    return Judgement(FITS, f"heard on {said}")
