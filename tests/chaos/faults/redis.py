"""A Redis that is lost, away, read-only or full, or replaced by another."""

import time
from random import Random
from signal import SIGCONT, SIGSTOP
from typing import Final

from tests.chaos.faults.fault import Fault
from tests.chaos.world import World
from tests.support.poison import enqueue


def _flush(world: World, random: Random, lasts_s: float) -> None:
    world.redis.client.flushall()


def _kill(world: World, random: Random, lasts_s: float) -> None:
    world.redis.master.stop()
    time.sleep(lasts_s)
    world.redis.master.start()


def _hang(world: World, random: Random, lasts_s: float) -> None:
    world.redis.master.signal(SIGSTOP)
    time.sleep(lasts_s)
    world.redis.master.signal(SIGCONT)


def _fail_over(world: World, random: Random, lasts_s: float) -> None:
    world.redis.fail_over()


def _refuse_writes(world: World, random: Random, lasts_s: float) -> None:
    world.redis.client.config_set("maxmemory", 1)
    time.sleep(lasts_s)
    world.redis.client.config_set("maxmemory", 0)


def _read_only(world: World, random: Random, lasts_s: float) -> None:
    world.redis.client.replicaof("127.0.0.1", 1)
    time.sleep(lasts_s)
    world.redis.client.replicaof("NO", "ONE")


def _wrong_types(world: World, random: Random, lasts_s: float) -> None:
    client = world.redis.client
    keys = sorted(key for key in client.scan_iter("*") if not key.startswith(b"rq:job:"))
    for key in random.sample(keys, min(3, len(keys))):
        client.delete(key)
        client.set(key, "not what you expect")


def _poison(world: World, random: Random, lasts_s: float) -> None:
    queue = random.choice(["critical", "high", "normal", "low", "default"])
    for _, data in world.mark.calls():
        enqueue(world.redis.client, data, queue=queue)


FAULTS: Final = [
    Fault("flush Redis", "redis", _flush),
    Fault("kill Redis", "redis", _kill),
    Fault("hang Redis", "redis", _hang),
    Fault("fail over Redis", "redis", _fail_over),
    Fault("fill Redis", "redis", _refuse_writes),
    Fault("read-only Redis", "redis", _read_only),
    Fault("wrong types in Redis", "redis", _wrong_types),
    Fault("poison in Redis", "redis", _poison),
]
