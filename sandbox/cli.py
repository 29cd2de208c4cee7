"""The sandbox's command-line options, and its main loop."""

import argparse
import asyncio
import contextlib
import json
import logging
import signal
from pathlib import Path

from sandbox.connection import Connection
from sandbox.dialect import DIALECTS
from sandbox.game_master import GameMaster
from sandbox.publisher import Publisher
from sandbox.seed import Size
from sandbox.server import Sandbox
from sandbox.world import World

log = logging.getLogger("sandbox")
SAVE_EVERY_S = 2.0
SIZES = {
    "campaigns": "campaigns",
    "kingdoms": "kingdoms per campaign",
    "settlements": "settlements per kingdom",
    "structures": "structures per settlement",
    "events": "events per campaign",
    "effects": "effects per campaign",
}


def add_arguments(parser: argparse.ArgumentParser, *, token: str = "", redis: str = "") -> None:
    """Declare the options; `token` and `redis` are defaults."""
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9264)
    parser.add_argument("--seed", type=int, default=1, help="the same seed always makes the same world")
    parser.add_argument("--token", default=token, help="credential required from clients; empty: none")
    parser.add_argument("--redis", default=redis, help="URL of the Redis to publish messages to; empty: none")
    for name, meaning in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=getattr(Size(), name), help=f"number of {meaning}")
    parser.add_argument(
        "--dialect",
        choices=sorted(DIALECTS),
        default="contract",
        help="contract: as the schema says; today: as the main API is served today",
    )
    parser.add_argument("--state", default="", metavar="FILE", help="file that keeps the world between runs")
    parser.add_argument(
        "--game-master", type=float, default=0, metavar="SECONDS", help="seconds between world-time advances; 0: none"
    )
    parser.add_argument("--scheduler-url", default="", help="the scheduler to which the game master submits effects")
    parser.add_argument("--scheduler-token", default="", help="a token of SCHEDULER_API_TOKENS for --scheduler-url")


def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code."""
    publish = Publisher(options.redis).publish if options.redis else (lambda channel, body: None)
    world = World(size=Size(**{name: getattr(options, name) for name in SIZES}), seed=options.seed, publish=publish)
    state = Path(options.state) if options.state else None
    try:
        if state and state.exists():
            world.load(json.loads(state.read_text()))
    except (ValueError, KeyError, AttributeError) as error:
        log.error("sandbox: --state %s is not a saved world (%r); delete it to start over", state, error)
        return 1
    sandbox = Sandbox(world, options.token, DIALECTS[options.dialect])
    try:
        asyncio.run(_serve(sandbox, options))
    except OSError as error:
        log.error("sandbox: port %s: %s; choose another with --port", options.port, error.strerror)
        return 1
    return 0


async def _serve(sandbox: Sandbox, options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(sandbox), options.host, options.port)
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    world = sandbox.world
    log.info(
        "sandbox: http://%s:%s/graphql, %s campaigns, %s settlements, %s structures",
        options.host,
        options.port,
        len(world.campaigns),
        len(world.settlements),
        len(world.structures),
    )
    playing = None
    if options.game_master:
        master = GameMaster(sandbox, options.game_master, options.scheduler_url, options.scheduler_token)
        playing = loop.create_task(master.play())
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):  # time to save the world
            await asyncio.wait_for(stop.wait(), SAVE_EVERY_S)
        if options.state:
            _save(sandbox.world, Path(options.state))
    if playing:
        playing.cancel()
    server.close()


def _save(world: World, state: Path) -> None:
    """Replace the file atomically, so that a crash leaves the previous world."""
    draft = state.with_suffix(".draft")
    draft.write_text(json.dumps(world.dump()))
    draft.replace(state)
