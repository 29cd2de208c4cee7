"""Takes operators' actions on everything but jobs back: each module says how, by the prefix of the action's `undo`.

An action can be taken back while it is the latest one on its target, and the target is as the action left it. What
follows from it meanwhile is not taken back: a firing, a step of a clock, a message that was sent.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.db.models import Max
from django.utils.translation import gettext

from jobs.compensation import transaction_with_redis
from jobs.errors import StateConflict
from jobs.models import OperatorAction

Changes = Mapping[str, Any]  #: {field: [before, after]}, as the action recorded them


UNDONE: Final = "undone"  #: the reason where one is needed


class Way(NamedTuple):
    """How actions of one kind are taken back. The functions get the key of the target."""

    permission: str
    is_as_left: Callable[[str, Changes], bool]
    take_back: Callable[[str, Changes, str], None]  #: with the actor; raises StateConflict and the like


_ways: dict[str, Way] = {}


def add(kind: str, way: Way) -> None:
    """Take back actions whose `undo` is `kind`, a slash and the target's key."""
    _ways[kind] = way


def find_permission(undo: str) -> str:
    """The permission that taking it back needs; empty if it cannot be taken back."""
    way = _ways.get(undo.partition("/")[0])
    return way.permission if way else ""


def find_open(actions: Iterable[OperatorAction]) -> set[int]:
    """The IDs of those that can be taken back now; a query, and one for each that may be."""
    wanted = [action for action in actions if find_permission(action.undo)]
    if not wanted:
        return set()
    later = OperatorAction.objects.filter(
        undo__in={action.undo for action in wanted}, pk__gte=min(action.pk for action in wanted)
    )
    latest = set(later.order_by().values("undo").annotate(latest=Max("pk")).values_list("latest", flat=True))
    return {action.pk for action in wanted if action.pk in latest and _is_as_left(action)}


def find_latest(undo: str) -> OperatorAction | None:
    """The latest action on a target, if it can be taken back."""
    latest = OperatorAction.objects.filter(undo=undo).order_by("-pk").first()
    return latest if latest and find_open([latest]) else None


def take_back(action: OperatorAction, *, actor: str) -> None:
    """Put the target back as it was before. Raises StateConflict if it has changed since, or cannot be as it was."""
    kind, _, key = action.undo.partition("/")
    with transaction_with_redis():
        OperatorAction.objects.select_for_update().get(pk=action.pk)  # of two presses at once, one finds it undone
        if action.pk not in find_open([action]):
            raise StateConflict(gettext("it has been changed since"))
        _ways[kind].take_back(key, action.changes or {}, actor)


def _is_as_left(action: OperatorAction) -> bool:
    kind, _, key = action.undo.partition("/")
    return _ways[kind].is_as_left(key, action.changes or {})


def fields_before(changes: Changes) -> dict[str, Any]:
    """Each field's value before."""
    return {field: pair[0] for field, pair in changes.items()}


def fields_after(changes: Changes) -> dict[str, Any]:
    return {field: pair[1] for field, pair in changes.items()}
