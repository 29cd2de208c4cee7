"""The game master of the demo: it advances world time and plans events and effects."""

import asyncio
import json
import logging
import urllib.request
from datetime import UTC, datetime, timedelta
from urllib.error import URLError

from sandbox.contract import parse, stamp
from sandbox.seed import make_event
from sandbox.server import Sandbox

log = logging.getLogger("sandbox")
WORLD_MINUTES = 60  #: per round
KEPT_EVENTS = 1000


class GameMaster:
    """Plays one round every `seconds`."""

    def __init__(self, sandbox: Sandbox, seconds: float, scheduler_url: str, scheduler_token: str) -> None:
        self._sandbox = sandbox
        self._seconds = seconds
        self._url = scheduler_url.rstrip("/")
        self._token = scheduler_token
        self._round = 0

    async def play(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            self._round += 1
            world = self._sandbox.world
            for campaign in list(world.campaigns.values()):
                clock = campaign["currentWorldTime"]
                if not campaign["isActive"] or clock is None:
                    continue
                now = parse(clock)
                event_id = f"planned-{campaign['id']}-{now:%Y%m%d%H%M}"
                world.plant("events", make_event(event_id, campaign["id"], stamp(now + timedelta(minutes=30))))
                world.advance(campaign["id"], stamp(now + timedelta(minutes=WORLD_MINUTES)))
                await self._plan_effect(campaign["id"])
            self._forget_old_events()

    async def _plan_effect(self, campaign_id: str) -> None:
        effects = [e for e in self._sandbox.world.effects.values() if e["id"].startswith(f"effect-{campaign_id[9:]}-")]
        if not self._url or not effects:
            return
        effect = effects[self._round % len(effects)]
        execute_at = stamp(datetime.now(UTC) + timedelta(seconds=5))
        body: dict[str, object] = {
            "type": "DEFERRED_EFFECT",
            "campaignId": campaign_id,
            "payload": {"effectId": effect["id"], "executeAt": execute_at},
        }
        try:
            await asyncio.to_thread(self._post, body)
        except (URLError, OSError) as error:
            log.info("the scheduler did not accept this round's effect: %s", error)

    def _post(self, body: dict[str, object]) -> None:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(f"{self._url}/api/jobs", json.dumps(body).encode(), headers)  # noqa: S310 - from --scheduler-url
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the URL is an option of ours
            answer.read()

    def _forget_old_events(self) -> None:
        world = self._sandbox.world
        done = [e for e in world.events.values() if e["isCompleted"]]
        for event in done[: max(0, len(world.events) - KEPT_EVENTS)]:
            del world.events[event["id"]]
            world.of(event["campaignId"], "events").remove(event)
