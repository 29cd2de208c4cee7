"""How the main API as it is served today differs from its contract; each point can be switched on by itself.

Without points the sandbox keeps the contract.
"""

import copy
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    Node,
    OperationDefinitionNode,
)
from graphql.language import Visitor, visit

from sandbox.contract import Record, Refusal, parse
from sandbox.world import World

POINTS: Final[Mapping[int, str]] = {
    1: "executeEffect patches its context in place of the entity",
    2: "names cannot be read: they are declared as times",
    3: "currentWorldTime is text of epoch milliseconds",
    4: "times of events are text of epoch milliseconds, ISO 8601 when read again soon",
    5: "errors have no path",
    6: "errors have no extensions, as in production",
    7: "NOT_FOUND and conflicts are INTERNAL_SERVER_ERROR with a status; an inactive effect is FORBIDDEN",
    8: "branch and campaign IDs in inputs must be UUIDs",
    9: "x-api-key is valid for campaigns only",
    10: "mutations are FORBIDDEN",
    11: "advanceWorldTime always answers 409",
    12: "messages name the entity in place of the campaign; none tells of world time, or of what is new",
    13: "an update without worldTime is dated by wall clock",
    14: "completeEvent does not apply the effects of the event",
    15: "affectedFields is null; patchApplied holds the patch",
    16: "getEffect does not find the effects of settlements and structures",
    17: "lists are cached for 10 minutes; 100 KB and a complexity of 1000 are the most that is taken",
}
DIALECTS: Final[Mapping[str, frozenset[int]]] = {
    "contract": frozenset(),
    "today": frozenset(POINTS) - {8, 9, 10},  # with these nothing could be done
}
#: Credentials that work: a key by the contract; today's main API wants a JWT, and names its account in messages.
TOKENS: Final[Mapping[str, str]] = {
    "contract": "camp_sk_sandbox",
    "today": "e30.eyJzdWIiOiJzY2hlZHVsZXIifQ.c2lnbmVk",
}
LARGEST_BODY: Final = 100 * 1024
MOST_COMPLEX: Final = 1000
LIST_KEPT_S: Final = 600.0
_API_KEY_FIELDS: Final = {"campaign", "campaigns"}
_STATUS: Final = {"NOT_FOUND": 404, "OPTIMISTIC_LOCK": 409, "CONFLICT": 409}
_MESSAGES: Final = (
    (re.compile(r"(\w+) (\S+) does not exist"), r"\1 with ID \2 not found"),
    (re.compile(r"(\S+) is at version (\d+), not (\d+)"), r"Version mismatch for \1: expected \3, got \2"),
)
_LISTS: Final = ("settlementsByKingdom", "structuresBySettlement")
_SINGLE: Final = ("campaign", "settlement", "structure")
_EVENT_TIMES: Final = ("scheduledAt", "occurredAt")


class Unauthorized(Exception):
    """The credential is not valid for what the request asks."""


class Dialect:
    """The points that are on, and what they remember.

    With `missing_is_error` reading one object that is not there is NOT_FOUND (404 by point 7), not null.
    """

    def __init__(self, points: frozenset[int] = frozenset(), *, missing_is_error: bool = False) -> None:
        self.points = points
        self.missing_is_error = missing_is_error
        self._lists: dict[tuple[str, str], tuple[float, list[Record]]] = {}
        self._read: set[str] = set()

    def has(self, point: int) -> bool:
        return point in self.points

    @property
    def serves_more(self) -> bool:
        """Whether fields beyond the contract are there: worlds with calendars, all events and their effects."""
        return bool(self.points)

    @property
    def largest_body(self) -> int:
        """Bytes of the largest request; 0: any."""
        return LARGEST_BODY if self.has(17) else 0

    # -- requests

    def check(self, document: DocumentNode, *, api_key: bool) -> GraphQLError | None:
        """Return why a request is refused as a whole, or None. Raises Unauthorized."""
        if api_key and self.has(9) and not _root_fields(document) <= _API_KEY_FIELDS:
            raise Unauthorized
        if self.has(17) and (found := complexity(document)) > MOST_COMPLEX:
            code = {"code": "BAD_USER_INPUT"}
            return GraphQLError(
                f"Query is too complex: {found}. Maximum allowed complexity: {MOST_COMPLEX}", extensions=code
            )
        return None

    def before(self, world: World, name: str, args: dict[str, Any], *, mutation: bool) -> None:
        """Refuse a root field that today's API refuses."""
        if mutation and self.has(10):
            raise Refusal("FORBIDDEN", "Forbidden resource")
        given = args.get("input") or {}
        if self.has(8):
            for field in ("branchId", "campaignId"):
                if given.get(field) is not None and not _is_uuid(given[field]):
                    raise Refusal("BAD_REQUEST", f"{field} must be a UUID")
        if name == "advanceWorldTime" and self.has(11):
            raise Refusal("CONFLICT", "The campaign was modified by another user: refresh and try again")
        if name == "executeEffect":
            if self.has(1) and given.get("context") is not None:
                raise TypeError("Cannot read properties of undefined (reading 'variables')")
            effect = world.effects.get(given["effectId"])
            if self.has(7) and effect and not effect["isActive"]:
                raise Refusal("FORBIDDEN", f"Effect {effect['id']} is not active")

    def root(self, world: World, name: str, args: dict[str, Any], read: Callable[[], Any]) -> Any:
        """Return what a root field resolves to."""
        if name in _LISTS and self.has(17):
            key = name, next(iter(args.values()))
            kept_at, kept = self._lists.get(key, (0.0, []))
            if not kept_at or time.monotonic() - kept_at > LIST_KEPT_S:
                kept_at, kept = self._lists[key] = time.monotonic(), copy.deepcopy(read())
            return kept
        if name == "completeEvent" and self.has(14):
            return world.resolve(args["id"], lambda _: {"success": True})  # recorded, and nothing is changed
        found = read()
        if found is None and self.missing_is_error and name in _SINGLE:
            raise Refusal("NOT_FOUND", f"{name.capitalize()} {args['id']} does not exist")
        if name == "getEffect" and found:
            if self.has(16) and found["entityType"].lower() in ("settlement", "structure"):
                return None
            return {**found, "entityType": found["entityType"].upper()} if self.has(16) else found
        if name == "executeEffect" and self.has(15) and found["success"]:
            return {**found, "affectedFields": None, "patchApplied": [{"op": "replace", "path": "/variables/morale"}]}
        return found

    # -- fields

    def value(self, kind: str, field: str, record: Record) -> Any:
        """Return a field's value as it is served."""
        value = record.get(field)
        if self.has(2) and field == "name" and kind != "Effect" and kind != "Branch":
            raise ValueError(f"DateTime cannot represent an invalid date-time-string {value}.")
        if value is None:
            return None
        if self.has(3) and kind == "Campaign" and field == "currentWorldTime":
            return epoch_ms(value)
        if self.has(4) and kind == "Event" and field in _EVENT_TIMES:
            known = f"{record['id']}.{field}"
            if known in self._read:
                return value
            self._read.add(known)
            return epoch_ms(value)
        return value

    # -- errors and messages

    def answer(self, data: Any, errors: list[Record]) -> Record:
        """Return a response with errors as they are served."""
        if errors and self.has(2) and any("date-time-string" in error["message"] for error in errors):
            data = None
        return {"data": data} | ({"errors": [self._error(error) for error in errors]} if errors else {})

    def _error(self, error: Record) -> Record:
        served = copy.deepcopy(error)
        extensions = served.get("extensions", {})
        if self.has(7):
            code = extensions.get("code")
            if code in _STATUS:
                extensions.update(code="INTERNAL_SERVER_ERROR", status=_STATUS[code])
            for pattern, text in _MESSAGES:
                served["message"] = pattern.sub(text, served["message"])
        if self.has(5):
            served.pop("path", None)
        return {"message": served["message"]} if self.has(6) else served

    def publishes(self, world: World, channel: str, body: Record, *, by: str) -> tuple[str, Record] | None:
        """Return the channel and body of a message about what the account `by` did; None if it is not sent."""
        if not self.has(12):
            return channel, body
        if channel.endswith(".worldTimeAdvanced") or body["operation"] == "CREATE":
            return None
        kind, entity_id = body["entityType"].lower(), body["entityId"]
        table: dict[str, Record] = getattr(world, f"{kind}s", {})
        told = {
            "entityId": entity_id,
            "entityType": kind,
            "version": table.get(entity_id, {}).get("version", 1),
            "modifiedBy": by,
            "modifiedAt": datetime.now(UTC).isoformat(),
        }
        return f"entity.modified.{entity_id}", {"entityModified": told}


def epoch_ms(iso: str) -> str:
    """Return a time as text of epoch milliseconds; what is no time stays as it is.

    >>> epoch_ms("1372-01-16T06:00:00.000Z"), epoch_ms("soon")
    ('-18869738400000', 'soon')
    """
    try:
        moment = parse(iso)
    except Refusal:
        return iso
    return str(round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000))


def complexity(document: DocumentNode) -> int:
    """Count the fields of a document, those of its fragments wherever they are spread."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}

    def fields(node: Node) -> int:
        found = 0

        class Count(Visitor):
            def enter_field(self, _node: FieldNode, *_: object) -> None:
                nonlocal found
                found += 1

            def enter_fragment_spread(self, spread: FragmentSpreadNode, *_: object) -> None:
                nonlocal found
                found += fields(fragments[spread.name.value])

        visit(node, Count())
        return found

    return sum(fields(d) for d in document.definitions if not isinstance(d, FragmentDefinitionNode))


def _root_fields(document: DocumentNode) -> set[str]:
    sets = [d.selection_set for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    return {field.name.value for each in sets for field in each.selections if isinstance(field, FieldNode)}


def _is_uuid(value: object) -> bool:
    try:
        return bool(UUID(str(value)))
    except ValueError:
        return False
