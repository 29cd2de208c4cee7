"""The judges of errors: their path, code and kind, by the errors that the check has provoked."""

from jobs.errors import NotFound, VersionConflict
from jobs.main_api.conformance.gather import Facts
from jobs.main_api.conformance.report import Judgement, Verdict
from jobs.main_api.errors import FieldError

FITS, TOLERATED, FAULT, NOT_SEEN = Verdict.FITS, Verdict.TOLERATED, Verdict.FAULT, Verdict.NOT_SEEN
_NONE = Judgement(NOT_SEEN, "no error could be provoked")
_DANGEROUS = (
    "dangerous: an update of {id} under a wrong expectedVersion was accepted, so that changes of others get lost."
    " It has repeated the level, and may have made a new version"
)
_CODES = ("NOT_FOUND", "OPTIMISTIC_LOCK", "CONFLICT")


def paths(facts: Facts) -> Judgement:
    """Point 5."""
    errors = _errors_of_fields(facts)
    if not errors:
        return _NONE
    name, error = next(((n, e) for n, e in errors.items() if not e.path), ("", None))
    if error:
        return Judgement(TOLERATED, f"the error of {name} has no path; what a batch has done is read back")
    return Judgement(FITS, f"errors name their field, such as {next(iter(errors.values())).alias}")


def codes(facts: Facts) -> Judgement:
    """Point 6."""
    errors = _errors_of_fields(facts)
    if not errors:
        return _NONE
    bare = next((e for e in errors.values() if not e.code), None)
    if bare:
        by = f"status {bare.status}" if bare.status else "message"
        return Judgement(TOLERATED, f"an error has no code and is told by its {by}: {bare.message}")
    return Judgement(FITS, f"errors have codes, such as {next(iter(errors.values())).code}")


def kinds(facts: Facts) -> Judgement:
    """Point 7."""
    update = facts.update
    known = facts.settlement
    if known and update and update.answer.data.get("updateSettlement"):
        return Judgement(FAULT, _DANGEROUS.format(id=known.id))
    wanted = {VersionConflict: "a version conflict", NotFound: "a missing object"}
    seen = [error for error in _errors_of_fields(facts).values() if error.kind in wanted]
    odd = next((error for error in seen if error.code and error.code not in _CODES), None)
    if odd:
        what = wanted.get(odd.kind, "") if odd.kind else ""
        told = f"{odd.code} with status {odd.status}" if odd.status else odd.code
        return Judgement(TOLERATED, f"{what} is {told}")
    if known and update and update.error and not facts.is_conflict and not update.is_refused:
        return Judgement(
            NOT_SEEN, f"the update was refused before its version was compared: {update.why('updateSettlement')}"
        )
    coded = sorted({error.code for error in seen if error.code})
    if coded:
        return Judgement(FITS, f"codes are as in the contract: {', '.join(coded)}")
    return Judgement(NOT_SEEN, "no error about a version or a missing object has a code")


def _errors_of_fields(facts: Facts) -> dict[str, FieldError]:
    """The errors of single fields, by operation."""
    return {name: asked.error for name, asked in facts.mutations.items() if asked.error}
