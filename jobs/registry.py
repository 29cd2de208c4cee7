"""What a job type is. Each file in jobs/types/ declares one; nothing else names a single type."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
from django.conf import settings

from jobs.errors import InvalidJob
from jobs.outcome import RetryPolicy
from jobs.run import Run
from jobs.states import Priority
from scheduler_project.moments import read_moment
from scheduler_project.text import flaw_of


class Payload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of all payloads: camelCase outside, snake_case inside, unknown fields refused."""

    def subject(self) -> str:
        """What the job is about, within its campaign; part of the unique key."""
        return ""

    def task(self) -> str:
        """What the job does, in words, with {} for the entity's name; empty: the name of its type says it."""
        return ""

    def due_at(self) -> datetime | None:
        """When the payload itself says the job is due (wall-clock), None: as the submitter says."""
        return None

    def check(self) -> None:
        """Raise InvalidJob, naming the field, for what the field types cannot say."""


class NoPayload(Payload, frozen=True, kw_only=True):
    """The payload of types that need none."""


Answer = dict[str, Any] | None | BaseException
"""How one job ended: what is kept as its result, or its error."""


class Item(NamedTuple):
    """One job of a batch."""

    payload: Any
    run: Run


class Cron(NamedTuple):
    """The cron task that a type brings along; it is created where it is missing."""

    task: str
    """Its name."""
    setting: str
    """The setting with its first expression."""


Handler = Callable[[Any, Run], dict[str, Any] | None]
BatchHandler = Callable[[Sequence[Item]], Sequence[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType:
    """A declared job type."""

    name: str
    """As in the seed, in capitals."""
    payload: type[Payload]
    """Its schema."""
    handle: BatchHandler
    """Does the work of one or, where `batch` is more than 1, several jobs of one campaign; an answer for each."""
    batch: int
    """How many jobs `handle` takes at once."""
    timeout: timedelta | None
    """How long one attempt may run; None: JOB_TIMEOUT_SECONDS."""
    priority: Priority
    """Used when the submitter names none."""
    max_attempts: int | None
    """None: QUEUE_MAX_RETRIES."""
    all_campaigns: bool
    """Whether an empty campaign id means all campaigns."""
    idempotent: bool
    """Whether doing the work twice does no harm; if not, EFFECT_UNKNOWN_OUTCOME decides about unknown outcomes."""
    cron: Cron | None
    """Its cron task, if it has one."""
    on_world_time: bool
    """Whether it is submitted for a campaign whose world time advanced."""
    on_entity: str
    """The entity type of the main API at whose changes it is submitted; empty: none."""

    @property
    def retry(self) -> RetryPolicy:
        """The policy, with the environment's defaults filled in."""
        return RetryPolicy(
            max_attempts=self.max_attempts or settings.QUEUE_MAX_RETRIES,
            base=settings.QUEUE_RETRY_BACKOFF,
            idempotent=self.idempotent,
            may_resend=self.idempotent or settings.EFFECT_UNKNOWN_OUTCOME == "retry",
        )

    def parse(self, payload: object) -> Payload:
        """The payload as its type.

        Raises InvalidJob naming the field that is missing, unknown or malformed.
        """
        if flaw := flaw_of(payload):
            raise InvalidJob("payload", flaw)
        if isinstance(payload, dict):
            payload = payload | _moments(payload, self.payload)
        try:
            parsed = msgspec.convert(payload, self.payload)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            raise InvalidJob(_field(text, path), text) from None
        parsed.check()
        return parsed


def _moments(payload: dict[str, Any], kind: type[Payload]) -> dict[str, datetime]:
    """The payload's moments, read as every other time that is sent is. Raises InvalidJob naming the field."""
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


_types: dict[str, JobType] = {}


def job_type(name: str, **declared: Any) -> Callable[[Handler], Handler]:
    """Declare the decorated function to be the handler of job type `name`, one job at a time.

    What may be declared beside it: see `_declare`. What the handler returns is kept as the job's result. Raises
    ValueError when the name is taken.
    """

    def decorate(handle: Handler) -> Handler:
        _declare(name, lambda items: [handle(payload, run) for payload, run in items], batch=1, **declared)
        return handle

    return decorate


def batch_job_type(name: str, *, batch: int, **declared: Any) -> Callable[[BatchHandler], BatchHandler]:
    """Declare the decorated function to be the handler of job type `name`, for up to `batch` jobs of one campaign.

    It answers with a result or an error for each job, in their order; each job keeps its own row, outcome and audit
    trail. Raises ValueError when the name is taken.
    """

    def decorate(handle: BatchHandler) -> BatchHandler:
        _declare(name, handle, batch=batch, **declared)
        return handle

    return decorate


def _declare(
    name: str,
    handle: BatchHandler,
    *,
    payload: type[Payload],
    batch: int,
    priority: Priority = Priority.NORMAL,
    max_attempts: int | None = None,
    timeout: timedelta | None = None,
    all_campaigns: bool = False,
    idempotent: bool = True,
    cron: Cron | None = None,
    on_world_time: bool = False,
    on_entity: str = "",
) -> None:
    if name in _types:
        raise ValueError(f"job type {name} is declared twice")
    _types[name] = JobType(
        name=name,
        payload=payload,
        handle=handle,
        batch=batch,
        priority=priority,
        max_attempts=max_attempts,
        timeout=timeout,
        all_campaigns=all_campaigns,
        idempotent=idempotent,
        cron=cron,
        on_world_time=on_world_time,
        on_entity=on_entity,
    )


@cache
def _load() -> None:
    package = importlib.import_module("jobs.types")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def all_types() -> dict[str, JobType]:
    """Every declared type by its name."""
    _load()
    return dict(_types)


def type_named(name: object) -> JobType:
    """The type called `name`.

    Raises InvalidJob when there is none.
    """
    _load()
    found = _types.get(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidJob("type", f"unknown job type {name!r}; known: {', '.join(sorted(_types))}")
    return found


def types_on_world_time() -> tuple[str, ...]:
    """The types that are submitted when a campaign's world time advances."""
    return tuple(name for name, declared in all_types().items() if declared.on_world_time)


def types_on_entity(entity_type: object) -> tuple[str, ...]:
    """The types that are submitted when an entity of that type has changed."""
    return tuple(
        name for name, declared in all_types().items() if declared.on_entity and declared.on_entity == entity_type
    )
