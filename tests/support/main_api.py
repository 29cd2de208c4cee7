"""Clients of a main API, and what they read there."""

from datetime import timedelta

from redis import Redis

from jobs.main_api.budget import Budget
from jobs.main_api.client import MainApi, connect
from jobs.main_api.gate import Gate
from jobs.main_api.listing import Listing
from jobs.main_api.model import Event, Settlement
from sandbox.ports import free_port


def event_of(event_id: str) -> Event:
    return Event(id=event_id, campaign_id="c-1", name="", event_type="story", is_completed=False)


def of_an_api(redis: Redis, url: str) -> MainApi:
    return connect(redis, url=url, token="", timeout=timedelta(seconds=5), threshold=99, duration=timedelta(seconds=1))


def open_gate() -> Gate:
    """A gate without limits: its Redis does not exist."""
    return Gate(Budget(Redis.from_url(f"redis://127.0.0.1:{free_port()}"), timeout=timedelta(seconds=5)))


def settlements_of(api: MainApi, campaign_id: str) -> list[Settlement]:
    """All settlements of a campaign."""
    found = api.settlements_by_kingdom([kingdom.id for kingdom in api.kingdoms(campaign_id)])
    return [town for towns in found.values() if isinstance(towns, Listing) for town in towns]
