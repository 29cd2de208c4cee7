"""The paths below /control: what tests and demos read, break and change in the sandbox."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from functools import partial

from sandbox.answer import Answer, read_json
from sandbox.contract import Record, Refusal, parse, stamp
from sandbox.dialect import DIALECTS, POINTS
from sandbox.faults import BadFaults, Faults
from sandbox.seed import Size, make_effect, make_event
from sandbox.server import Sandbox
from sandbox.world import World

PLANTED = ("events", "effects", "settlements", "structures", "campaigns", "kingdoms", "worlds")


def handle(sandbox: Sandbox, method: str, path: str, body: bytes) -> object:
    """Handle a path below /control. Raises Answer (400 or 404)."""
    handlers: dict[tuple[str, str], Callable[[], object]] = {
        ("GET", "stats"): partial(_stats, sandbox),
        ("GET", "world"): sandbox.world.dump,
        ("GET", "faults"): sandbox.faults.as_json,
        ("POST", "faults"): lambda: _set_faults(sandbox, read_json(body)),
        ("DELETE", "faults"): partial(_clear_faults, sandbox),
        ("GET", "dialect"): partial(_show_dialect, sandbox),
        ("POST", "dialect"): lambda: _set_dialect(sandbox, read_json(body)),
        ("POST", "reset"): lambda: _reset(sandbox, read_json(body or b"{}")),
        ("POST", "advance"): lambda: _advance(sandbox, read_json(body)),
    }
    if method == "POST" and path in PLANTED:
        handlers[method, path] = lambda: _plant(sandbox, path, read_json(body))
    if (method, path) not in handlers:
        raise Answer(404, {"error": f"no such path: {method} /control/{path}"})
    try:
        return handlers[method, path]()
    except (BadFaults, Refusal) as bad:
        raise Answer(400, {"error": str(bad)}) from None
    except (KeyError, TypeError, ValueError) as missing:
        raise Answer(400, {"error": f"missing or malformed: {missing}"}) from None


def _stats(sandbox: Sandbox) -> object:
    counts = {"requests": sandbox.requests, "operations": sandbox.counts, "executions": len(sandbox.world.executions)}
    load = {"mostInFlight": sandbox.load.most_in_flight, "mostInASecond": sandbox.load.most_in_a_second}
    return {**counts, "load": load, "recent": list(sandbox.recent)}


def _set_faults(sandbox: Sandbox, wanted: Record) -> object:
    sandbox.faults.set(wanted)
    return sandbox.faults.as_json()


def _clear_faults(sandbox: Sandbox) -> object:
    sandbox.faults = Faults()
    return sandbox.faults.as_json()


def _show_dialect(sandbox: Sandbox) -> object:
    return {"points": sorted(sandbox.points), "known": {str(number): text for number, text in POINTS.items()}}


def _set_dialect(sandbox: Sandbox, wanted: Record) -> object:
    """Switch to {"dialect": name} or to {"points": [numbers]}; the world stays.

    {"missing": "error"} beside either: reading one object that is not there is an error, not null.
    """
    if "dialect" in wanted:
        points = DIALECTS[wanted["dialect"]]
    else:
        points = frozenset(int(number) for number in wanted["points"])
    if unknown := points - POINTS.keys():
        raise BadFaults(f"points: {sorted(unknown)} unknown; known: 1 to {max(POINTS)}")
    missing = wanted.get("missing", "null")
    if missing not in ("null", "error"):
        raise BadFaults(f"missing: got {missing!r}; known: null, error")
    sandbox.speak(points, missing_is_error=missing == "error")
    return _show_dialect(sandbox)


def _reset(sandbox: Sandbox, wanted: Record) -> object:
    seed = int(wanted.pop("seed", sandbox.world.seed))
    size = Size(**{**asdict(sandbox.world.size), **wanted})
    sandbox.restart(World(size=size, seed=seed))
    return {"seed": seed, **asdict(size)}


def _advance(sandbox: Sandbox, wanted: Record) -> object:
    campaign = sandbox.world.campaigns[wanted["campaignId"]]
    to = wanted.get("to")
    if to is None:
        to = stamp(parse(campaign["currentWorldTime"]) + timedelta(minutes=float(wanted["minutes"])))
    return sandbox.world.advance(wanted["campaignId"], to)


def _plant(sandbox: Sandbox, table: str, record: Record) -> Record:
    makers: dict[str, Callable[[Record], Record]] = {
        "events": lambda r: make_event(r["id"], r["campaignId"], r["scheduledAt"]),
        "effects": lambda r: make_effect(r["id"], r["entityId"]),
    }
    known = record["id"] in getattr(sandbox.world, table)
    made = {} if known or table not in makers else makers[table](record)
    planted = sandbox.world.plant(table, made | record)
    kind = {"events": "Event", "settlements": "Settlement", "structures": "Structure"}.get(table, "")
    entity: Record | None = planted
    if table == "effects":  # its entity tells of it
        kind = planted["entityType"].capitalize()
        entity = getattr(sandbox.world, f"{kind.lower()}s", {}).get(planted["entityId"])
    if kind and entity:
        campaign = entity["campaignId"] if "campaignId" in entity else sandbox.world.campaign_of(entity)
        sandbox.world.modified(campaign, kind, entity["id"], "UPDATE" if known else "CREATE")
    return planted
