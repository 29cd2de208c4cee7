"""The whole service as it runs in production: its own Redis, sandbox, database and all processes."""

import contextlib
import http.cookiejar
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.ports import free_port
from tests.support import forked
from tests.support.environment import FOLDER, TOKEN
from tests.support.servers import RedisServer, Running, SandboxApi, manage, wait_until

SECRET = "secret-of-tests"
PASSWORD = "correct horse battery staple"
PEOPLE = {"ann": "", "olga": "Operator", "vic": "Viewer"}  #: ann is a superuser; the others are of that group
#: Waits for programs and forks for each: most of what a command of manage.py takes goes into its start. A pause, whose
#: log line links to a page, imports all pages.
_SHELL = """
import os, socket
import scheduler_project.urls
from jobs import control, pauses, service
from jobs.world_clocks import control as world_clocks
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind({path!r} + "-new")
    listening.listen()
    os.rename({path!r} + "-new", {path!r})  # now it answers
    while True:
        with listening.accept()[0] as client:
            program = client.makefile().read()
            child = os.fork()
            if not child:
                listening.close()
                os.dup2(client.fileno(), 1)
                os.dup2(client.fileno(), 2)
                break
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            client.sendall(f"\\n{{code}}".encode())
exec(program, {{}})
"""
#: With one hash: each takes longer than all that it is for.
_START = """
import json
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
call_command("migrate", verbosity=0)
password = make_password({password!r})
sessions = {{}}
for name, group in {people!r}.items():
    user = User.objects.create(username=name, is_staff=True, is_superuser=not group, password=password)
    user.groups.set(Group.objects.filter(name=group))
    session = SessionStore()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session.save()
    sessions[name] = session.session_key
print(json.dumps(sessions))
"""


def now() -> str:
    """The current time in the HTTP API's format."""
    return datetime.now(UTC).isoformat()


class Service:
    """Web, worker, scheduler, listener and monitor with their own database; `stop` stops them whatever happened.

    The database is db.sqlite3 in `folder`, which may be there already.
    """

    def __init__(self, folder: Path = FOLDER / "service", **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.redis = RedisServer(free_port(), str(folder / "redis"))
        self.processes: list[Running] = []
        try:
            self.sandbox = SandboxApi(free_port(), TOKEN, self.redis.url)
            self.processes.append(self.sandbox.running)
            self._start(folder, environment)
        except BaseException:
            self.stop()
            raise

    def _start(self, folder: Path, environment: dict[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "REDIS_URL": self.redis.url,
            "API_URL": f"{self.sandbox.url}/graphql",
            "PORT": str(port),
            **environment,
        }
        self._shell = folder / "shell"
        self._shell.unlink(missing_ok=True)
        shell = _SHELL.format(path=str(self._shell))
        self.processes.append(manage("shell", "--no-imports", "--command", shell, **self.environment))
        wait_until(self._shell.exists, what="the shell listens")
        made = self.shell(_START.format(people=PEOPLE, password=PASSWORD))
        self.sessions: dict[str, str] = json.loads(made.splitlines()[-1])  #: the cookies of PEOPLE, logged in
        web = ["-m", "gunicorn", "scheduler_project.wsgi", "--bind", f"127.0.0.1:{port}"]
        self.processes.append(Running("web", [sys.executable, *web, "--log-level", "warning"], self.environment))
        others = ("rqworker", "rqscheduler", "pubsub_listener", "monitor")
        self.processes += [manage(name, **self.environment) for name in others]
        wait_until(self._answers, within_s=90, what="the web process answers")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def run(self, *words: str) -> str:
        """Run a command of manage.py; returns its output."""
        ended = forked.run("manage.py", *words, variables=self.environment)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def shell(self, program: str) -> str:
        """Run a program in a process of its own, as `manage.py shell` does; returns its output."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._shell))
            client.sendall(program.encode())
            client.shutdown(socket.SHUT_WR)
            output, _, code = client.makefile().read().rpartition("\n")
        assert code == "0", output
        return output

    def api(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The HTTP API: GET, or POST of `body`; the answer."""
        request = urllib.request.Request(f"{self.url}/api/{path}", headers={"Authorization": f"Bearer {SECRET}"})
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def submit(self, type_: str, campaign: str, payload: dict[str, Any], **more: Any) -> str:
        """Submit a job; returns its ID."""
        body = {"type": type_, "campaignId": campaign, "payload": payload, **more}
        return str(self.api("jobs", body)["id"])

    def state(self, job: str) -> str:
        """The state of a job."""
        return str(self.api(f"jobs/{job}")["state"])

    def await_state(self, job: str, state: str) -> None:
        """Wait until a job is in a state."""
        wait_until(lambda: self.state(job) == state, what=f"{job} is {state}")

    def session(self, name: str) -> str:
        """Log in with name and password; returns the session cookie."""
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        login = f"{self.url}/admin/login/"
        browser.open(login, timeout=60).read()
        token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token or "", "next": "/health/live"}
        browser.open(login, urllib.parse.urlencode(form).encode(), timeout=60).read()
        return next(cookie.value or "" for cookie in jar if cookie.name == "sessionid")

    def stop(self) -> None:
        """Stop everything."""
        for process in reversed(self.processes):
            if process.process.poll() is None:
                process.process.terminate()
        for process in reversed(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):  # killed by then; how they stop is told by other tests
                process.stop()
        self.redis.stop()
