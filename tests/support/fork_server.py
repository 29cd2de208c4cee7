"""`python -m tests.support.fork_server DESCRIPTOR MODULE…`: imports these, then forks a process for each request.

They come by the socket with that descriptor. The child takes its folder, variables and output, runs its command, and
ends as any Python process does, except that it leaves its memory to the system.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import threading
from types import ModuleType
from typing import Any, Final, NoReturn

LONGEST: Final = 1 << 17  #: bytes of a request


def main() -> None:
    """Serve until nobody is left who could ask; in a child, run what it was asked for."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()  # a child's collections leave these pages alone, so that all share them
    gc.enable()
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, LONGEST, 2)
        if not message:
            return
        asked = json.loads(message)
        ended = asked.get("ended")  # the PID of a child
        answer = os.waitstatus_to_exitcode(os.waitpid(ended, 0)[1]) if ended else os.fork()
        if not ended and not answer:
            requests.close()
            _be(asked, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(str(answer).encode())


def _be(asked: dict[str, Any], output: int, errors: int) -> NoReturn:
    """Run the command and exit. To take all modules apart, as Python does last, would copy the memory of each."""
    code: int | None = 0
    try:
        _run(asked, output, errors)
    except SystemExit as ended:
        if ended.code is not None and not isinstance(ended.code, int):
            raise  # Python prints it
        code = ended.code
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads, and ends those of executors
    atexit._run_exitfuncs()  # noqa: SLF001 - what Python runs itself
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


def _run(asked: dict[str, Any], output: int, errors: int) -> None:
    """Become the process that Python starts with these words, in its own session."""
    os.setsid()
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.closerange(3, max(output, errors) + 1)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ |= asked["variables"]
    first, *rest = asked["words"]
    sys.path[0] = asked["folder"]
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102 - a test's own code
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main()
