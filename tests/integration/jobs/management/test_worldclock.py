"""manage.py worldclock."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from jobs.models import OperatorAction
from tests.support import world_clocks

pytestmark = pytest.mark.django_db(transaction=True)


def worldclock(*words: str) -> list[str]:
    out = StringIO()
    call_command("worldclock", *words, stdout=out)
    return out.getvalue().splitlines()


def test_the_command_lists_and_changes_clocks(redis: Redis) -> None:
    """As the actor `command`, with a reason."""
    nothing = worldclock("list"), worldclock("pause-all")
    world_clocks.start_running()
    (line,) = worldclock("list")
    paused = worldclock("pause-all", "--reason", "stop!")
    (after,) = worldclock("list")
    for verb in ("resume", "pause", "start", "stop"):
        worldclock(verb, "c-1")

    assert nothing == (["No world clocks."], ["No world clock runs."])
    assert line.startswith("c-1  Northmarch  running, 60 x: a day in 24 min, today 0 s of 10 d, next step in ")
    assert paused == ["The world clock of Northmarch is paused."]
    assert after == "c-1  Northmarch  paused, 60 x: a day in 24 min, today 0 s of 10 d"
    assert (world_clocks.of().state, world_clocks.of().actor) == ("off", "command")
    assert OperatorAction.objects.get(reason="stop!").actor == "command"


@pytest.mark.parametrize(("words", "message"), [(["pause", "c-1"], "is already off"), (["start", "x"], "no campaign")])
def test_the_command_says_what_it_cannot_do(redis: Redis, words: list[str], message: str) -> None:
    world_clocks.start_running()
    worldclock("stop", "c-1")
    with pytest.raises(CommandError, match=message):
        worldclock(*words)
