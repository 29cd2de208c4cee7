"""A campaign's kingdoms and settlements in parts, for work that takes them slice by slice."""

from collections.abc import Sequence

from jobs.errors import JobError
from jobs.main_api.client import MainApi
from jobs.main_api.model import Kingdom, Settlement


def kingdoms_of(api: MainApi, campaign_id: str) -> list[Kingdom]:
    """All kingdoms of a campaign."""
    found: list[Kingdom] = api._read("kingdomsByCampaign", {"campaignId": campaign_id}, list[Kingdom])  # noqa: SLF001 - to become a method of MainApi
    return found


def settlements_by_kingdom(api: MainApi, kingdom_ids: Sequence[str]) -> dict[str, list[Settlement] | JobError]:
    """The settlements of each kingdom, or what went wrong with that one alone."""
    return api._read_each("settlementsByKingdom", "kingdomId", list(kingdom_ids), list[Settlement])  # noqa: SLF001 - as above
