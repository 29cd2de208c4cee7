"""The registry of job types. Each file in jobs/types/ declares one; nothing else names a type."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import msgspec
from django.utils.translation import gettext

from jobs.errors import InvalidJob
from jobs.run import Run
from jobs.states import Priority
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import WorldTime
from scheduler_project.moments import read_moment
from scheduler_project.text import flaw_of

#: Marks a text of a payload as a world time: Annotated[str, Meta(extra_json_schema=WORLD_TIME)]. It is ISO 8601; who
#: fills in the form of a new job may write it in the campaign's calendar.
WORLD_TIME: Final = {"format": "world-time"}
_MISSING: Final = "Object missing required field"  #: msgspec's words


class Payload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of all payloads: camelCase in JSON, snake_case in Python; unknown fields are rejected."""

    def subject(self) -> str:
        """What the job is about, within its campaign; part of the unique key."""
        return ""

    def names_its_work(self) -> bool:
        """Whether the subject alone identifies the work, whenever it is due; by default the due time does, too."""
        return False

    def task(self) -> str:
        """A description of the job, with {} for the entity's name; empty: the type's name is enough."""
        return ""

    def due_at(self) -> datetime | None:
        """The due time (wall-clock) if the payload contains it; None: the submitter decides."""
        return None

    def world_time_due(self) -> WorldTime | None:
        """The world time at which the job runs, in the order of the world (jobs/stops.py); None: at none."""
        return None

    def readable_from(self) -> int | None:
        """The oldest version of the schema that knows all of this payload's fields; None: the current one."""
        return None

    def check(self) -> None:
        """Validate what field types cannot express. Raises InvalidJob, naming the field."""

    def check_in(self, calendar: Callable[[], Calendar]) -> None:
        """Validate what depends on the campaign's calendar, for which few payloads ask. Raises InvalidJob."""


class NoPayload(Payload, frozen=True, kw_only=True):
    """The payload of types that need none."""


Answer = dict[str, Any] | None | BaseException
"""A handler's answer for one job: the result to store, or an error."""


class Item(NamedTuple):
    """One job of a batch."""

    payload: Any
    run: Run


class Cron(NamedTuple):
    """A cron task that a type declares; it is created if it is missing."""

    task: str
    """The task's name."""
    setting: str
    """The setting with its initial expression."""


Handler = Callable[[Any, Run], dict[str, Any] | None]
BatchHandler = Callable[[Sequence[Item]], Sequence[Answer]]
Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns a payload of one version, as JSON, into the next version's. Pure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType:
    """A declared job type."""

    name: str
    """Upper case, such as DEFERRED_EFFECT."""
    label: str = ""
    """Its name on pages, marked by gettext_noop; empty: that in sentence case."""
    payload: type[Payload]
    """The payload's schema."""
    upgrades: tuple[Upgrade, ...] = ()
    """One step per version of the payload: the first turns version 1 into version 2."""
    handle: BatchHandler
    """Does the work of one job or, if `batch` is more than 1, of several of one campaign. Returns one answer each."""
    batch: int
    """Maximum number of jobs per call of `handle`."""
    timeout: timedelta | None = None
    """Time limit of an attempt; None: JOB_TIMEOUT_SECONDS."""
    priority: Priority = Priority.NORMAL
    """The default priority."""
    max_attempts: int | None = None
    """None: QUEUE_MAX_RETRIES."""
    all_campaigns: bool = False
    """Whether an empty campaign ID means all campaigns."""
    idempotent: bool = True
    """Whether the work can be done twice without harm; if not, EFFECT_UNKNOWN_OUTCOME applies."""
    cron: Cron | None = None
    """The type's cron task, if it has one."""
    on_world_time: bool = False
    """Whether to submit a job when a campaign's world time advances."""
    on_entity: str = ""
    """The main API's entity type whose changes submit a job; empty: none."""
    moves_world_time: bool = False
    """Whether world clocks submit it for their steps; its payload has `bySeconds` and `cause`."""
    opens_form: bool = False
    """Whether the form of a new job opens on it: what people submit most."""
    on_event: bool = False
    """Whether to submit a job for each event that its policy triggers; of one type only (jobs/triggers/due.py)."""

    @property
    def version(self) -> int:
        """The version of the payloads that this release writes, and the newest that it reads."""
        return 1 + len(self.upgrades)

    def upgrade(self, payload: Any, version: int) -> Any:
        """Turn a stored payload of `version` into the current version's. Raises InvalidJob."""
        if version > self.version:
            text = gettext("is of version %(version)s; this release reads %(known)s of %(type)s")
            raise InvalidJob("payload", text % {"version": version, "known": self.version, "type": self.name})
        try:
            for step in self.upgrades[version - 1 :]:
                payload = step(payload)
        except Exception as error:  # a step meets what its version never wrote
            text = gettext("cannot be upgraded from version %(version)s: %(error)s")
            raise InvalidJob("payload", text % {"version": version, "error": repr(error)}) from error
        return payload

    def parse(self, payload: object, version: int | None = None) -> Payload:
        """Parse and validate a payload of `version`; without it, of the current one.

        Raises InvalidJob naming the field that is missing, unknown or malformed.
        """
        if flaw := flaw_of(payload):
            raise InvalidJob("payload", flaw)
        if version is not None:
            payload = self.upgrade(payload, version)
        if isinstance(payload, dict) and (moments := _moments(payload, self.payload)):
            payload = payload | moments
        try:
            parsed = msgspec.convert(payload, self.payload)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            said = gettext("is required") if text.startswith(_MISSING) else text
            raise InvalidJob(_field(text, path), said) from None
        parsed.check()
        return parsed


def _moments(payload: dict[str, Any], kind: type[Payload]) -> dict[str, datetime]:
    """Parse the payload's times by the same rules as all other input. Raises InvalidJob naming the field."""
    read = {}
    for name in _fields_of_moments(kind):
        if isinstance(payload.get(name), str):
            try:
                read[name] = read_moment(payload[name])
            except ValueError as error:
                raise InvalidJob(f"payload.{name}", str(error)) from None
    return read


@cache
def _fields_of_moments(kind: type[Payload]) -> tuple[str, ...]:
    hints = get_type_hints(kind)
    return tuple(
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if datetime in (hints[field.name], *get_args(hints[field.name]))
    )


def _field(text: str, path: str) -> str:
    if path:
        return f"payload{path.rstrip('`')}"
    quoted = text.split("`")
    return f"payload.{quoted[1]}" if "field" in text and len(quoted) > 1 else "payload"


declared_types: dict[str, JobType] = {}
declared_versions: dict[str, int] = {}  # of their payloads


def job_type(name: str, **declared: Any) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of job type `name`, for one job at a time.

    JobType has the options. The handler's return value is stored as the job's result. Raises ValueError if the
    name is taken.
    """

    def decorate(handle: Handler) -> Handler:
        _declare(name, lambda items: [handle(payload, run) for payload, run in items], batch=1, **declared)
        return handle

    return decorate


def batch_job_type(name: str, *, batch: int, **declared: Any) -> Callable[[BatchHandler], BatchHandler]:
    """Register the decorated function as the handler of job type `name`, for up to `batch` jobs of one campaign.

    It returns a result or an error for each job, in order; each job keeps its own row, outcome and audit trail. Raises
    ValueError if the name is taken.
    """

    def decorate(handle: BatchHandler) -> BatchHandler:
        _declare(name, handle, batch=batch, **declared)
        return handle

    return decorate


def _declare(name: str, handle: BatchHandler, **declared: Any) -> None:
    if name in declared_types:
        raise ValueError(f"job type {name} is declared twice")
    declared_types[name] = JobType(name=name, handle=handle, **declared)
    declared_versions[name] = declared_types[name].version


@cache
def _load() -> None:
    package = importlib.import_module("jobs.types")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def all_types() -> dict[str, JobType]:
    """Return every registered type by name."""
    _load()
    return dict(declared_types)


def label_of(name: str) -> str:
    """Return the label of a type; of any other constant or field, its name in sentence case.

    >>> label_of("POPULATION_GROWTH"), label_of("effect_id")
    ('Population growth', 'Effect ID')
    """
    declared = all_types().get(name)
    text = declared.label if declared else ""
    return gettext(text or re.sub(r"\b[Ii]d\b", "ID", name.replace("_", " ").capitalize()))


def type_named(name: object) -> JobType:
    """Return the type named `name`.

    Raises InvalidJob if there is none.
    """
    _load()
    if name is None or name == "":
        raise InvalidJob("type", gettext("is required"))
    if not isinstance(name, str):
        raise InvalidJob("type", gettext("must be a text"))
    found = declared_types.get(name)
    if found is None:
        text = gettext("unknown job type “%(name)s”; known: %(types)s")
        raise InvalidJob("type", text % {"name": name[:100], "types": ", ".join(sorted(declared_types))})
    return found


def readable_versions() -> Mapping[str, int]:
    """Return the newest payload version that this release reads, by type."""
    _load()
    return declared_versions


def can_read(job_type: str, payload_version: int) -> bool:
    """Return whether this release knows the type, and this version of its payloads."""
    return payload_version <= readable_versions().get(job_type, 0)


def types_on_world_time() -> tuple[str, ...]:
    """Return the types to submit when a campaign's world time advances."""
    return tuple(sorted(name for name, declared in all_types().items() if declared.on_world_time))


def types_on_entity(entity_type: object) -> tuple[str, ...]:
    """Return the types to submit when an entity of this type changes."""
    found = [name for name, declared in all_types().items() if declared.on_entity and declared.on_entity == entity_type]
    return tuple(sorted(found))


def type_moving_world_time() -> JobType:
    """Return the type of the steps of world clocks."""
    (found,) = (declared for declared in all_types().values() if declared.moves_world_time)
    return found


def type_on_event() -> str:
    """Return the type that triggers events."""
    (name,) = (name for name, declared in all_types().items() if declared.on_event)
    return name
