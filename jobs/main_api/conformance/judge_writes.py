"""The judges of what is written: IDs, rights, world time, events and effects."""

from jobs.errors import NotFound, PermanentError, VersionConflict
from jobs.main_api.conformance.asker import Asked
from jobs.main_api.conformance.gather import Facts, result_of
from jobs.main_api.conformance.report import Judgement, Verdict
from scheduler_project.text import is_job_id

FITS, TOLERATED, FAULT, NOT_SEEN = Verdict.FITS, Verdict.TOLERATED, Verdict.FAULT, Verdict.NOT_SEEN
_INPUTS = ("UpdateSettlementInput", "UpdateStructureInput")


def context(facts: Facts) -> Judgement:
    """Point 1."""
    plain, given = result_of(facts.dry_run), result_of(facts.with_context)
    if not facts.dry_run:
        return Judgement(NOT_SEEN, facts.why_no_effect)
    if plain.get("success") is not True:
        return Judgement(NOT_SEEN, f"the dry run of {facts.effect_id} fails: {_failure(facts.dry_run)}")
    if not facts.with_context:
        odd = f"the dry run of {facts.effect_id} has an executionId and may have been a real one"
        return Judgement(NOT_SEEN, f"{odd}; no context was sent after it")
    if given.get("success") is not True:
        why = _failure(facts.with_context)
        return Judgement(TOLERATED, f"a dry run with a context fails, and without one it succeeds: {why}")
    if any(given.get(name) != plain.get(name) for name in ("affectedFields", "patchApplied")):
        return Judgement(TOLERATED, "a dry run with a context changes something else than one without")
    return Judgement(FITS, f"a dry run of {facts.effect_id} answers the same with a context as without")


def input_ids(facts: Facts) -> Judgement:
    """Point 8."""
    update, advance, with_uuid = facts.update, facts.advance, facts.advance_uuid
    for name, asked in (("updateSettlement", update), ("advanceWorldTime", advance)):
        if asked and asked.error and "uuid" in asked.error.message.lower():
            return Judgement(FAULT, asked.why(name))
    if facts.is_conflict or (update and (update.kind is NotFound or _is_accepted(update, "updateSettlement"))):
        return Judgement(FITS, f"an update may name the branch {facts.branch_id or 'of a UUID'}")
    if update and update.is_refused:
        return Judgement(NOT_SEEN, f"mutations are refused before their IDs are checked.{_hint(facts)}")
    if advance and with_uuid and advance.kind is PermanentError and with_uuid.kind is not PermanentError:
        return Judgement(
            FAULT, f"a campaignId that is a UUID is accepted, another is not: {advance.why('advanceWorldTime')}"
        )
    return Judgement(NOT_SEEN, f"the update failed for another reason: {_failure(update)}")


def rights(facts: Facts) -> Judgement:
    """Point 10."""
    tried = facts.mutations
    refused = {name: asked for name, asked in tried.items() if asked.is_refused}
    allowed = [name for name, asked in tried.items() if asked.is_answered and not asked.is_refused]
    if refused and any(asked.is_refused for asked in facts.reads.values()):
        return Judgement(NOT_SEEN, "the credential is refused for queries already")
    used = [name for name in refused if name != "advanceWorldTime"]
    if used or (refused and not allowed):
        name = next(iter(used or refused))
        return Judgement(FAULT, f"mutations are refused: {refused[name].why(name)}")
    if allowed:
        return Judgement(FITS, f"the credential may use {', '.join(allowed)}")
    return Judgement(NOT_SEEN, f"no mutation was answered: {_failure(facts.update)}")


def advancing(facts: Facts) -> Judgement:
    """Point 11."""
    asked = facts.advance_uuid
    limits = "Real world time was not tried: it would move"
    if asked and asked.kind is VersionConflict:
        failing = "jobs that advance world time become dead letters, and all else works"
        return Judgement(TOLERATED, f"it conflicts even for a campaign that does not exist: {failing}. {limits}")
    if asked and asked.kind is NotFound:
        return Judgement(FITS, f"a campaign that does not exist is not found. {limits}")
    return Judgement(NOT_SEEN, f"{_failure(asked)}. {limits}")


def dating(facts: Facts) -> Judgement:
    """Point 13."""
    lacking = [name for name in _INPUTS if facts.types.get(name) and "worldTime" not in facts.types[name]]
    errors = facts.update.answer.errors if facts.update else ()
    unknown = next((error.message for error in errors if "worldtime" in error.message.lower()), "")
    if lacking or unknown:
        return Judgement(FAULT, unknown or f"{' and '.join(lacking)} have no worldTime")
    if errors or any(facts.types.get(name) for name in _INPUTS):
        return Judgement(FITS, "updates take worldTime, which the scheduler always sends; one without it was not tried")
    return Judgement(NOT_SEEN, f"no update was answered: {_failure(facts.update)}")


def completing(facts: Facts) -> Judgement:
    """Point 14."""
    if "executeEffectsForEntity" in facts.types.get("Mutation", {}):
        return Judgement(
            TOLERATED, "effects are applied by executeEffectsForEntity. The scheduler executes each itself"
        )
    return Judgement(NOT_SEEN, "no event was completed, as that cannot be undone")


def results(facts: Facts) -> Judgement:
    """Point 15."""
    found = result_of(facts.dry_run)
    if not facts.dry_run:
        return Judgement(NOT_SEEN, facts.why_no_effect)
    if found.get("success") is not True:
        return Judgement(NOT_SEEN, f"the dry run of {facts.effect_id} fails: {_failure(facts.dry_run)}")
    if found.get("affectedFields") is None:
        patch = "; patchApplied has the patch" if found.get("patchApplied") is not None else ""
        return Judgement(TOLERATED, f"affectedFields is null in a dry run{patch}")
    return Judgement(FITS, f"affectedFields is {found['affectedFields']} in a dry run of {facts.effect_id}")


def _failure(asked: Asked | None) -> str:
    """Why a request brought nothing, in words."""
    if asked is None:
        return "it was not tried"
    if error := result_of(asked).get("error"):
        return str(error)
    return asked.why("the main API") or "without a reason"


def _is_accepted(asked: Asked, name: str) -> bool:
    return bool(asked.answer.data.get(name))


def _hint(facts: Facts) -> str:
    """Whether its own IDs would pass a main API that takes UUIDs only."""
    campaign_id = facts.visible[0].id if facts.visible else ""
    return f" {campaign_id} is no UUID: if only those are taken, that comes next" if not is_job_id(campaign_id) else ""
