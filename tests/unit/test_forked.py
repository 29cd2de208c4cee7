"""A process that is forked for a test is what Python would have started."""

import signal
import subprocess

import pytest

from tests.support.forked import POSSIBLE, Forked
from tests.support.servers import manage

#: What a process sees: its words, folders, session, variables, settings, signals and open files.
SHOWN = """
import logging, os, signal, sys
from django.conf import settings
hidden = {"PYTEST_CURRENT_TEST", "OF_NO_SETTING"}
print(sys.argv[:2], sys.path[0], os.getcwd(), os.getsid(0) == os.getpid(), sys.flags, __name__)
print(sorted(item for item in os.environ.items() if item[0] not in hidden), settings.DATABASES, settings.URL_PREFIX)
print([signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)], logging.getLogger().level)
print(sorted(os.listdir("/proc/self/fd")), sys.stdin.read())
print("an error", file=sys.stderr)
"""
#: What still runs when the code is over.
UNFINISHED = """
import atexit, threading, time
from concurrent.futures import ThreadPoolExecutor
def say(after, text): time.sleep(after), print(text)
atexit.register(print, "the end")
threading.Thread(target=say, args=(0.1, "a thread")).start()
ThreadPoolExecutor().submit(say, 0.5, "an executor")
"""
COMMAND = ("shell", "--no-imports", "--command")


@pytest.mark.skipif(not POSSIBLE, reason="no process is forked: Linux is too old, or coverage is measured")
def test_it_sees_what_a_started_one_sees() -> None:
    """Nothing of the fork server, nor of the tests' own settings. A variable that no setting is needs a real start."""
    changed = {"DATABASE_URL": "sqlite:///another", "URL_PREFIX": "/under"}
    forked, started = manage(*COMMAND, SHOWN, **changed), manage(*COMMAND, SHOWN, **changed, OF_NO_SETTING="1")

    assert (forked.process.wait(60), started.process.wait(60)) == (0, 0)
    assert isinstance(forked.process, Forked)
    assert isinstance(started.process, subprocess.Popen)
    said = started.log.read_text()
    assert "/under" in said
    assert "an error" in said
    assert forked.log.read_text() == said


@pytest.mark.parametrize(
    ("code", "end", "said"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('words')", 1, "words"),
        ("1 / 0", 1, "ZeroDivisionError"),
        (UNFINISHED, 0, "a thread\nan executor\nthe end"),
    ],
)
def test_it_ends_as_a_started_one_ends(code: str, end: int, said: str) -> None:
    process = manage(*COMMAND, code)

    assert process.process.wait(60) == end
    assert process.process.poll() == end
    assert said in process.log.read_text()


def test_it_can_be_waited_for_and_killed() -> None:
    process = manage(*COMMAND, "import time; time.sleep(600)").process

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    assert process.poll() is None
    process.kill()

    assert process.wait(60) == -signal.SIGKILL
    process.kill()  # it is gone: nobody else with its PID is meant
    assert process.returncode == -signal.SIGKILL
