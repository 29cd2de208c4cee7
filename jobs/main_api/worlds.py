"""Asks for the calendars of campaigns' worlds. Today's main API has them, its contract does not: that is learnt.

The requests are their own, so that no other read fails if the fields are missing.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog

from jobs.errors import NotAuthorized
from jobs.main_api.answers import Answer
from jobs.main_api.calendar_json import read_calendars
from jobs.main_api.learning import BELIEVED_S, DOUBTED_S
from jobs.world.calendars.calendar import Calendar

log = structlog.get_logger(__name__)
MOST: Final = 50  #: campaigns of one request
Ask = Callable[[str, str, Mapping[str, Any]], Answer]


class Served(NamedTuple):
    """What the main API has for one campaign."""

    calendar: Calendar | None
    fault: str = ""  #: why a calendar that it has cannot be used


class Worlds:
    """What one process knows of worlds and their calendars; not for several threads."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._unserved_until = 0.0

    @property
    def may_be_served(self) -> bool:
        """False for an hour after the main API has refused the fields."""
        return time.monotonic() >= self._unserved_until

    def calendars(self, campaign_ids: Sequence[str]) -> dict[str, Served]:
        """Read the calendars of at most MOST campaigns, in two requests.

        A campaign about which the answer is unclear is left out: what is known of it holds. Raises JobError if the
        main API cannot be asked.
        """
        worlds = self._read("campaignWorld", "campaign(id: $id) { id worldId }", campaign_ids)
        found = {i: one["worldId"] for i, one in worlds.items() if isinstance(one.get("worldId"), str)}
        read = self._read("worldCalendars", "world(id: $id) { id calendars }", list(dict.fromkeys(found.values())))
        calendars = {world_id: Served(*read_calendars(one.get("calendars"))) for world_id, one in read.items()}
        return {i: calendars[world_id] for i, world_id in found.items() if world_id in calendars}

    def _read(self, name: str, field: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The objects by ID, of those that were answered."""
        if not ids:
            return {}
        document, variables = _batch(name, field, ids)
        try:
            answer = self._ask(name, document, variables)
        except NotAuthorized as error:  # a key that is valid for campaigns only
            self._forget(BELIEVED_S, str(error))
            return {}
        if answer.errors and not any(value is not None for value in answer.data.values()):
            first = answer.errors[0]
            clear = first.is_about_request or "query field" in first.message or "GRAPHQL_VALIDATION" in first.code
            self._forget(BELIEVED_S if clear else DOUBTED_S, first.message)
        return dict(_pick_answers(ids, answer.data))

    def _forget(self, for_s: float, why: str) -> None:
        self._unserved_until = time.monotonic() + for_s
        log.info("main_api.calendars_unserved", error=why[:300], for_s=for_s)


def _batch(name: str, field: str, ids: Sequence[str]) -> tuple[str, dict[str, str]]:
    declared = ", ".join(f"$id{n}: ID!" for n in range(len(ids)))
    fields = " ".join(f"a{n}: " + field.replace("$id", f"$id{n}") for n in range(len(ids)))
    return f"query {name}({declared}) {{ {fields} }}", {f"id{n}": one for n, one in enumerate(ids)}


def _pick_answers(ids: Sequence[str], data: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for number, one in enumerate(ids):
        value = data.get(f"a{number}")
        if isinstance(value, Mapping) and value.get("id") == one:
            yield one, value
