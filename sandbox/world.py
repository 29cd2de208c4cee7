"""The sandbox's world: deterministic from its seed, with the main API's rules for changing it."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sandbox.contract import Record, Refusal, parse, stamp
from sandbox.seed import Size, seed_records

OVERDUE_AFTER = timedelta(minutes=5)
REMEMBERED_VERSIONS = 10_000


@dataclass(slots=True)
class World:
    """All records by id, and the ids of each record's children."""

    size: Size = field(default_factory=Size)
    seed: int = 1
    publish: Callable[[str, Record], None] = lambda channel, body: None
    campaigns: dict[str, Record] = field(default_factory=dict)
    worlds: dict[str, Record] = field(default_factory=dict)
    branches: dict[str, Record] = field(default_factory=dict)
    kingdoms: dict[str, Record] = field(default_factory=dict)
    settlements: dict[str, Record] = field(default_factory=dict)
    structures: dict[str, Record] = field(default_factory=dict)
    events: dict[str, Record] = field(default_factory=dict)
    effects: dict[str, Record] = field(default_factory=dict)
    children: dict[str, list[Record]] = field(default_factory=dict)
    executions: list[Record] = field(default_factory=list)
    history: deque[Record] = field(default_factory=lambda: deque(maxlen=REMEMBERED_VERSIONS))

    def __post_init__(self) -> None:
        for table, record in seed_records(self.size, self.seed):
            self.plant(table, record)

    # -- reading

    def of(self, parent: str, table: str) -> list[Record]:
        return self.children.get(f"{parent}/{table}", [])

    def overdue(self, campaign_id: str) -> list[Record]:
        """Return the events overdue by more than five minutes of world time, oldest first."""
        clock = self._found(self.campaigns, campaign_id, "campaign")["currentWorldTime"]
        if clock is None:
            return []
        before = parse(clock) - OVERDUE_AFTER
        events = self.of(campaign_id, "events")
        late = [e for e in events if not e["isCompleted"] and e["scheduledAt"] and parse(e["scheduledAt"]) < before]
        return sorted(late, key=lambda e: str(e["scheduledAt"]))

    def effects_of(self, entity_type: str, entity_id: str, timing: str) -> list[Record]:
        """Return the effects of an event or another entity, in no order."""
        wanted = (entity_type.lower(), timing)
        return [e for e in self.of(entity_id, "effects") if (e["entityType"].lower(), e["timing"]) == wanted]

    # -- changing

    def complete(self, event_id: str) -> Record:
        """Mark an event completed. Refused with BAD_REQUEST if it already is."""
        event = self._found(self.events, event_id, "event")
        if event["isCompleted"]:
            raise Refusal("BAD_REQUEST", f"Event {event_id} is already completed")
        event["isCompleted"] = True
        event["occurredAt"] = self.campaigns[event["campaignId"]]["currentWorldTime"]
        self.modified(event["campaignId"], "Event", event_id, "UPDATE")
        return event

    def resolve(self, event_id: str, execute: Callable[[str], Record]) -> Record:
        """Complete an event and execute its effects, each by `execute`."""
        done: Record = {"event": self.complete(event_id)}
        for name, timing in (("pre", "PRE"), ("onResolve", "ON_RESOLVE"), ("post", "POST")):
            effects = sorted(self.effects_of("event", event_id, timing), key=lambda e: int(e["priority"]))
            ran = [execute(e["id"])["success"] for e in effects]
            done[name] = {"total": len(ran), "succeeded": sum(ran), "failed": len(ran) - sum(ran)}
        return done

    def execute(self, effect_id: str) -> Record:
        """Execute an effect; it is not idempotent. One with `fails` never succeeds."""
        effect = self._found(self.effects, effect_id, "effect")
        error = effect.get("fails") if effect["isActive"] else f"Effect {effect_id} is not active"
        if error:
            return {"success": False, "error": error, "executionId": None, "affectedFields": None}
        execution = {"executionId": f"execution-{len(self.executions) + 1}", "effectId": effect_id}
        self.executions.append(execution)
        self._patch(effect)
        return {"success": True, "error": None, "affectedFields": ["variables.morale"], **execution}

    def _patch(self, effect: Record) -> None:
        """Replace values of a settlement or structure: [{"path": "/variables/morale", "value": 3}, …].

        It is the one that the effect hangs on; the `target` of an event's effect, {"entityType", "entityId"}.
        """
        target = effect.get("target", effect)
        kind = str(target["entityType"]).capitalize()
        table = {"Settlement": self.settlements, "Structure": self.structures}.get(kind)
        if table is None or not effect.get("patch"):
            return
        entity = self._found(table, target["entityId"], kind.lower())
        for change in effect["patch"]:
            *parents, name = change["path"].strip("/").split("/")
            place = entity
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = change["value"]
        entity["version"] += 1
        self.modified(self.campaign_of(entity), kind, entity["id"], "UPDATE")

    def update(self, kind: str, entity_id: str, changes: Mapping[str, Any]) -> Record:
        """Update a Settlement or Structure if the expected version is its own."""
        table = self.settlements if kind == "Settlement" else self.structures
        entity = self._found(table, entity_id, kind.lower())
        if changes["branchId"] not in self.branches:
            raise Refusal("BAD_USER_INPUT", f"branch {changes['branchId']} does not exist")
        if changes["expectedVersion"] != entity["version"]:
            raise Refusal(
                "OPTIMISTIC_LOCK", f"{entity_id} is at version {entity['version']}, not {changes['expectedVersion']}"
            )
        if "variables" in changes and not isinstance(changes["variables"], dict):
            raise Refusal("BAD_USER_INPUT", "variables must be a map")
        entity |= {k: v for k, v in changes.items() if k in ("name", "type", "level", "variables") and v is not None}
        entity["version"] += 1
        dated = {"entityId": entity_id, "version": entity["version"], "worldTime": changes.get("worldTime")}
        self.history.append(dated)
        self.modified(self.campaign_of(entity), kind, entity_id, "UPDATE")
        return entity

    def advance(self, campaign_id: str, to: str) -> Record:
        """Move world time forward."""
        campaign = self._found(self.campaigns, campaign_id, "campaign")
        before = campaign["currentWorldTime"]
        if before is not None and parse(to) <= parse(before):
            raise Refusal("BAD_REQUEST", f"{to} is not after the current world time {before}")
        campaign["currentWorldTime"] = stamp(parse(to))
        body = {"campaignId": campaign_id, "previousTime": before, "newTime": campaign["currentWorldTime"]}
        self.publish(f"campaign.{campaign_id}.worldTimeAdvanced", body)
        result = {"campaignId": campaign_id, "previousWorldTime": before, "affectedEntities": 0, "message": "advanced"}
        return {**result, "currentWorldTime": campaign["currentWorldTime"]}

    def plant(self, table: str, record: Record) -> Record:
        """Add a record, or change the fields of the one with its id. Raises KeyError for an unknown table."""
        parent_field = {
            "events": "campaignId",
            "effects": "entityId",
            "settlements": "kingdomId",
            "structures": "settlementId",
            "kingdoms": "campaignId",
            "campaigns": "",
            "worlds": "",
        }[table]
        records: dict[str, Record] = getattr(self, table)
        known = records.get(record["id"])
        if known is not None:
            known |= record
            if "version" in known:
                known["version"] += 1
            return known
        records[record["id"]] = record
        if parent_field:
            self.children.setdefault(f"{record[parent_field]}/{table}", []).append(record)
        if table == "campaigns":
            self._make_branch(record["id"])
        return record

    def modified(self, campaign_id: str, kind: str, entity_id: str, operation: str) -> None:
        """Publish that an entity changed."""
        body = {"campaignId": campaign_id, "entityType": kind, "entityId": entity_id, "operation": operation}
        self.publish(f"campaign.{campaign_id}.entityModified", body)

    def campaign_of(self, entity: Record) -> str:
        """Return the campaign ID of a settlement or structure."""
        settlement = self.settlements[entity["settlementId"]] if "settlementId" in entity else entity
        return str(self.kingdoms[settlement["kingdomId"]]["campaignId"])

    def dump(self) -> Record:
        tables = ("campaigns", "kingdoms", "settlements", "structures", "events", "effects", "executions")
        return {table: getattr(self, table) for table in tables} | {"history": list(self.history)}

    def load(self, dumped: Record) -> None:
        """Restore what `dump` returned. Raises KeyError if a table is missing."""
        self.children.clear()
        for table in ("campaigns", "kingdoms", "settlements", "structures", "events", "effects"):
            getattr(self, table).clear()
            for record in dumped[table].values():
                self.plant(table, record)
        self.executions[:] = dumped["executions"]

    # -- making

    def _found(self, table: dict[str, Record], record_id: str, kind: str) -> Record:
        record = table.get(record_id)
        if record is None:
            raise Refusal("NOT_FOUND", f"{kind} {record_id} does not exist")
        return record

    def _make_branch(self, campaign_id: str) -> None:
        branch_id = f"{campaign_id}-main"
        branch: Record = {"id": branch_id, "campaignId": campaign_id, "name": "main", "parentId": None}
        self.branches[branch_id] = branch
        self.children.setdefault(f"{campaign_id}/branches", []).append(branch)
