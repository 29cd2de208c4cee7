"""Names of constants: those that pages build from the constants themselves are in the catalogues, too."""

import ast
from collections.abc import Iterator

import msgspec

from jobs.registry import all_types
from jobs.schedules.forecast import EVENT_ASKED, EVENT_EXPIRED, EVENT_TRIGGERED
from jobs.states import Priority, State
from jobs.world.occurrences import ORDER
from ops.admin.payload_form import fields_of
from ops.labels import DID, NAMES, STATES, WITHIN, label
from tests.support.servers import ROOT

EVENTS = {*ORDER, EVENT_ASKED, EVENT_EXPIRED, EVENT_TRIGGERED}


def labels_of_forms() -> Iterator[str]:
    """Those in the form of a new job that payloads do not declare."""
    for declared in all_types().values():
        described = msgspec.json.schema(declared.payload)["$defs"][declared.payload.__name__]["properties"]
        for name, field in fields_of(declared).items():
            if "title" not in described[name]:
                yield str(field.label)
            yield from (str(text) for _, text in getattr(field, "choices", ()) if text != "-")


def test_every_event_priority_and_field_is_in_the_catalogues() -> None:
    named = {label(name) for name in (*EVENTS, *(priority.name for priority in Priority))}

    assert {*named, *labels_of_forms()} - set(NAMES) == set()
    assert EVENTS - WITHIN.keys() == set()


def test_every_state_and_type_has_a_label() -> None:
    assert STATES.keys() == set(State)
    assert [name for name, declared in all_types().items() if not declared.label] == []


def test_every_verb_of_the_audit_trail_has_a_label() -> None:
    """Those that are literals where they are recorded."""
    verbs = set()
    for folder in ("jobs", "monitoring", "ops"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            for node in ast.walk(ast.parse(text)) if "record(" in text else ():
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "record":
                    verbs |= {
                        keyword.value.value
                        for keyword in node.keywords
                        if keyword.arg == "verb" and isinstance(keyword.value, ast.Constant)
                    }

    assert "paused" in verbs
    assert verbs - DID.keys() == set()
