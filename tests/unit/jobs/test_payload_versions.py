"""Payloads carry a version: jobs/registry.py, JobType.upgrades."""

import copy
import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import registry
from jobs.errors import InvalidJob
from jobs.registry import JobType, Payload, all_types
from tests.support import releases

SLICE = {
    "root": "j-1",
    "number": 1,
    "dueAt": "2026-01-02T03:04:05Z",
    "at": "2026-01-02T03:04:06Z",
    "after": ["x"],
    "failed": 1,
    "whole": False,
}
#: Of each type and version, oldest first: what identifies the payload's schema, and a payload that uses every field.
#: Never change a row: a new version adds one, and the older ones must still be read.
VERSIONS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "ADVANCE_WORLD_TIME": [("2b80a4399dea", {"until": "TIME_OF_DAY", "timeOfDay": "18:00", "cause": "rest-7"})],
    "DEFERRED_EFFECT": [
        ("99d8a4b5df91", {"effectId": "e-1", "executeAt": "2026-01-02T03:04:05Z"}),
        ("2d8063847671", {"effectId": "e-1", "executeAtWorldTime": "1372-01-16T06:00:00Z"}),
    ],
    "EVENT_EXPIRATION": [("9aba82be8996", {"slice": SLICE})],
    "RECALCULATE_SETTLEMENT_SCHEDULES": [("9aba82be8996", {"slice": SLICE})],
    "RECALCULATE_STRUCTURE_SCHEDULES": [("9aba82be8996", {"slice": SLICE})],
    "SETTLEMENT_GROWTH": [("187bce12b9f3", {"settlementId": "s-1", "growthType": "POPULATION_GROWTH"})],
    "STRUCTURE_MAINTENANCE": [("c534f92365e7", {"structureId": "x-1", "eventType": "MAINTENANCE_DUE"})],
    "TRIGGER_EVENT": [
        ("4b43cc1dd540", {"eventId": "e-1", "scheduledAt": "1372-01-16T18:00Z", "byPolicy": True, "again": 1})
    ],
}


def schema_of(declared: JobType) -> str:
    """Changes when a field is added, removed, renamed, or takes other values."""
    schema = without_prose(msgspec.json.schema(declared.payload))
    return hashlib.sha256(msgspec.json.encode(schema, order="sorted")).hexdigest()[:12]


def without_prose(schema: Any) -> Any:
    """The schema without docstrings."""
    if isinstance(schema, dict):
        return {name: without_prose(value) for name, value in schema.items() if name != "description"}
    return [without_prose(value) for value in schema] if isinstance(schema, list) else schema


def test_every_payload_of_every_version_is_read() -> None:
    """By this release, whichever release wrote it."""
    recorded = {name: len(versions) for name, versions in VERSIONS.items()}
    assert dict.fromkeys(all_types(), 1) | recorded == registry.readable_versions()  # a new type is recorded later
    for name, versions in VERSIONS.items():
        for version, (_, payload) in enumerate(versions, 1):
            assert isinstance(all_types()[name].parse(payload, version), all_types()[name].payload)


@pytest.mark.parametrize("name", VERSIONS)
def test_a_payload_changes_with_its_version_only(name: str) -> None:
    """The previous release's workers read it, or know by its version that they cannot."""
    recorded = VERSIONS[name][-1][0]

    assert schema_of(all_types()[name]) == recorded, (
        f"{name}'s payload has changed: declare an upgrade from version {len(VERSIONS[name])}, and add its new schema, "
        "with a payload, to VERSIONS"
    )


class Latest(Payload, frozen=True, kw_only=True):
    """Any version's fields."""

    fields: dict[str, int]


@given(
    st.lists(st.integers(0, 9), max_size=5),
    st.dictionaries(st.text("abc", max_size=3), st.integers(), max_size=4),
    st.data(),
)
def test_upgrades_are_steps_from_any_version(steps: list[int], fields: dict[str, int], data: st.DataObject) -> None:
    """Version 1 is taken through every step; a later version skips the earlier ones."""
    with pytest.MonkeyPatch.context() as patch:
        upgrades = tuple(
            lambda payload, n=n, added=added: {"fields": {**payload["fields"], f"step {n}": added}}
            for n, added in enumerate(steps)
        )
        declared = releases.declare(patch, "EVENT_EXPIRATION", payload=Latest, upgrades=upgrades)
        version = data.draw(st.integers(1, declared.version))
        payload = {"fields": fields}
        kept = copy.deepcopy(payload)

        read = declared.parse(payload, version)

        expected = {**fields, **{f"step {n}": added for n, added in enumerate(steps) if n >= version - 1}}
        assert read == Latest(fields=expected)
        assert payload == kept
        assert registry.can_read("EVENT_EXPIRATION", version)
        assert not registry.can_read("EVENT_EXPIRATION", declared.version + 1)
        with pytest.raises(InvalidJob, match=f"is of version {declared.version + 1}"):
            declared.parse(payload, declared.version + 1)


def test_a_step_that_fails_names_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """One job is invalid, whatever others are read with it."""
    declared = releases.declare(monkeypatch, "EVENT_EXPIRATION", upgrades=(lambda payload: payload["missing"],))

    with pytest.raises(InvalidJob, match="cannot be upgraded from version 1: KeyError"):
        declared.parse({}, 1)
