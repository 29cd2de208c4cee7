"""Declarations of job types."""

from pathlib import Path

import pytest
from django.conf import settings

from jobs import registry

ROOT = Path(settings.BASE_DIR)
TYPES = ROOT / "jobs" / "types"


def test_the_eight_types_are_declared() -> None:
    """One file each, nothing else."""
    assert set(registry.all_types()) == {
        "ADVANCE_WORLD_TIME",
        "DEFERRED_EFFECT",
        "EVENT_EXPIRATION",
        "SETTLEMENT_GROWTH",
        "STRUCTURE_MAINTENANCE",
        "RECALCULATE_SETTLEMENT_SCHEDULES",
        "RECALCULATE_STRUCTURE_SCHEDULES",
        "TRIGGER_EVENT",
    }


def test_no_job_type_is_named_outside_its_folder() -> None:
    """A job type is added by adding one file; nothing else in the service names one."""
    names = {name for name in registry.all_types() if (TYPES / f"{name.lower()}.py").exists()}
    texts = {
        path: path.read_text()
        for folder in ("jobs", "api", "ops", "monitoring", "scheduler_project", "templates")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".html", ".js", ".lua"} and not {TYPES, ROOT / "jobs/migrations"} & set(path.parents)
    }

    assert names
    assert not [(path, name) for path, text in texts.items() for name in names if f'"{name}"' in text]


def test_a_type_declares_when_it_is_submitted() -> None:
    """By a cron task, by world time, by a changed entity, or for an event."""
    recalculations = ("RECALCULATE_SETTLEMENT_SCHEDULES", "RECALCULATE_STRUCTURE_SCHEDULES")
    crons = {declared.cron.setting: name for name, declared in registry.all_types().items() if declared.cron}

    assert registry.types_on_world_time() == ("EVENT_EXPIRATION", *recalculations)
    assert registry.types_on_entity("Settlement") == recalculations[:1]
    assert registry.types_on_entity("Structure") == recalculations[1:]
    assert registry.type_on_event() == "TRIGGER_EVENT"
    assert registry.types_on_entity("") == registry.types_on_entity(None) == ()
    assert crons == {
        "CRON_EVENT_EXPIRATION": "EVENT_EXPIRATION",
        "CRON_SETTLEMENT_GROWTH": recalculations[0],
        "CRON_STRUCTURE_MAINTENANCE": recalculations[1],
    }


def test_a_name_is_declared_once() -> None:
    """The second declaration fails when its file is imported, and names the type."""
    registry.all_types()

    with pytest.raises(ValueError, match="EVENT_EXPIRATION is declared twice"):
        registry.job_type("EVENT_EXPIRATION", payload=registry.NoPayload)(lambda _payload, _run: None)
