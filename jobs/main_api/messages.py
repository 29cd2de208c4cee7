"""The main API's pub/sub messages, in both families of channels that it has.

| channel | body |
| --- | --- |
| `campaign.<campaign>.worldTimeAdvanced` | `{newTime}` |
| `campaign.<campaign>.entityModified` | `{entityType, entityId, operation}` |
| `entity.modified.<entity>` | `{entityModified: {entityType (lower case), entityId, version, modifiedBy}}` |
"""

import base64
import json
from typing import Any, Final, NamedTuple

from jobs.world.clock import WorldTime, iso_text
from scheduler_project import text

PATTERNS: Final = ("campaign.*.worldTimeAdvanced", "campaign.*.entityModified", "entity.modified.*")
WORLD_TIME_ADVANCED: Final = "worldTimeAdvanced"
LONGEST_MESSAGE: Final = 1_000_000  #: bytes
_BY_ENTITY: Final = "entity.modified."


class Message(NamedTuple):
    """A message, whichever family it came from."""

    kind: str  #: "worldTimeAdvanced" or "entityModified"
    campaign_id: str  #: empty if the message does not name it
    world_time: WorldTime | None = None
    entity_type: str = ""
    entity_id: str = ""
    operation: str = ""
    modified_by: str = ""
    version: int = 0  #: 0 if the message does not tell


class Malformed(ValueError):
    """A message that cannot be read; the text names the field."""


def kind_of(channel: bytes) -> str:
    """The kind of a message, for metrics."""
    return WORLD_TIME_ADVANCED if channel.endswith(b".worldTimeAdvanced") else "entityModified"


def read_message(channel: bytes, data: bytes) -> Message:
    """Parse and clean a message. Raises Malformed."""
    name = channel.decode(errors="surrogateescape")  # invalid UTF-8 then fails `is_id`
    body = _body(data)
    if name.startswith(_BY_ENTITY):
        return _of_entity(name.removeprefix(_BY_ENTITY), body)
    campaign_id, _, kind = name.removeprefix("campaign.").rpartition(".")
    if not text.is_id(campaign_id):
        raise Malformed("channel: it names no campaign")
    if kind == WORLD_TIME_ADVANCED:
        try:
            return Message(kind, campaign_id, WorldTime.parse(iso_text(body.get("newTime", ""))))
        except ValueError as error:
            raise Malformed(f"newTime: {str(error)[:200]}") from None
    entity_type, entity_id, operation = (str(body.get(key)) for key in ("entityType", "entityId", "operation"))
    return Message("entityModified", campaign_id, None, entity_type, entity_id, operation)


def account_of(token: str) -> str:
    """The ID of the account that a JWT is for, by which the main API names us; empty if the token does not tell.

    The signature is the main API's to check: this only recognises our own echo.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return ""
    account = claims.get("sub") if isinstance(claims, dict) else None
    return account if isinstance(account, str) else ""


def _of_entity(entity_id: str, body: dict[str, Any]) -> Message:
    changed = body.get("entityModified")
    if not isinstance(changed, dict):
        raise Malformed("entityModified: it is missing")
    named = changed.get("entityId", entity_id)
    if named != entity_id or not text.is_id(entity_id):
        raise Malformed("entityId: it is not the channel's")
    kind = str(changed.get("entityType", "")).capitalize()
    by = changed.get("modifiedBy")
    version = changed.get("version")
    return Message(
        "entityModified",
        "",
        None,
        kind,
        entity_id,
        "UPDATE",
        modified_by=by if isinstance(by, str) else "",
        version=version if type(version) is int and version > 0 else 0,
    )


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data) if len(data) <= LONGEST_MESSAGE else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Malformed("body: it is no JSON object, or longer than 1 MB")
    cleaned: dict[str, Any] = text.clean(body)
    return cleaned
