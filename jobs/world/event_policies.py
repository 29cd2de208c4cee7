"""What becomes of an event when world time passes its time: the policy that counts for it."""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Final, NamedTuple


class EventAction(StrEnum):
    """What the service does with a due event."""

    EXPIRE = "expire"  #: completed without its effects, once it is overdue by the main API's grace
    TRIGGER = "trigger"  #: its effects are executed, and it is completed
    ASK = "ask"  #: an operator decides between the two


class Policy(NamedTuple):
    """What to do, and for which events; an empty campaign or type stands for all."""

    action: EventAction
    campaign_id: str = ""
    event_type: str = ""  #: as `type_key` writes it
    answer_within: timedelta = timedelta(0)  #: of real time; for ASK only
    default_answer: bool = False  #: for ASK only: what counts as the answer when nobody gives one


EXPIRE: Final = Policy(EventAction.EXPIRE)  #: where no policy says otherwise


def type_key(event_type: str) -> str:
    """How types of events are compared: the main API sends text of any case.

    >>> type_key(" Story "), type_key("KINGDOM")
    ('story', 'kingdom')
    """
    return event_type.strip().lower()


class Policies:
    """The policies of some campaigns, and those of all campaigns.

    The most specific one counts: of campaign and type, then of the campaign, then of the type, then of all.
    """

    def __init__(self, found: Iterable[Policy]) -> None:
        self._found = {(one.campaign_id, one.event_type): one for one in found}

    def of(self, campaign_id: str, event_type: str) -> Policy:
        """The policy that counts for an event.

        >>> story = Policy(EventAction.TRIGGER, event_type="story")
        >>> Policies([story]).of("c-1", "Story").action, Policies([story]).of("c-1", "party").action
        (<EventAction.TRIGGER: 'trigger'>, <EventAction.EXPIRE: 'expire'>)
        """
        key = type_key(event_type)
        places = ((campaign_id, key), (campaign_id, ""), ("", key), ("", ""))
        return next((self._found[place] for place in places if place in self._found), EXPIRE)

    @property
    def only_expire(self) -> bool:
        """Whether every event expires, so that nobody need look for due events."""
        return all(one.action is EventAction.EXPIRE for one in self._found.values())

    def only_expire_in(self, campaign_id: str) -> bool:
        """The same for the events of one of the campaigns.

        >>> Policies([Policy(EventAction.TRIGGER, "c-1")]).only_expire_in("c-2")
        True
        """
        own = (one for (campaign, _), one in self._found.items() if campaign in ("", campaign_id))
        return all(one.action is EventAction.EXPIRE for one in own)
