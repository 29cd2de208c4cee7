"""What operators' actions were about, as pages write it."""

from collections.abc import Iterable

from jobs.models import CampaignClock, OperatorAction

_CAMPAIGN = "campaign "  #: as pauses are recorded, with an ID that nobody knows by heart


def name_targets(actions: Iterable[OperatorAction]) -> None:
    """Put the names of paused campaigns before their IDs; one query if there are any. The actions are not saved."""
    about = [action for action in actions if action.target.startswith(_CAMPAIGN)]
    ids = {action.target.removeprefix(_CAMPAIGN) for action in about}
    found = CampaignClock.objects.filter(pk__in=ids).exclude(name="") if ids else CampaignClock.objects.none()
    names = dict(found.values_list("pk", "name"))
    for action in about:
        campaign = action.target.removeprefix(_CAMPAIGN)
        if campaign in names:
            action.target = f"{_CAMPAIGN}{names[campaign]} ({campaign})"
