import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sandbox.console import Quiet, announce_when_healthy
from sandbox.dialect import DIALECTS
from sandbox.login import admin_login
from sandbox.up import (
    CannotStart,
    Ports,
    announce,
    commands,
    environment,
    start_redis,
    stop_as_by_ctrl_c,
    supervise,
)


class Command(BaseCommand):
    requires_system_checks: list[str] = []
    help = "Run the whole service on this machine (`make up`): Redis, SQLite, a sandbox main API and all processes."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--game-master", type=float, default=10.0, help="seconds between world-time advances")
        parser.add_argument(
            "--dialect",
            choices=sorted(DIALECTS),
            default="contract",
            help="the sandbox keeps the contract, or differs from it as the main API does today",
        )
        parser.add_argument("--logs", action="store_true", help="print every log line")
        parser.add_argument("--reload", action="store_true", help="restart processes when the code changes")

    def handle(self, *args: Any, **options: Any) -> None:
        stop_as_by_ctrl_c()
        ports = Ports(settings.PORT, _port("UP_API_PORT", 9264), _port("UP_REDIS_PORT", 6390))
        var = Path(settings.BASE_DIR) / "var"
        Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
        try:
            ports.check()
            redis = start_redis(ports.redis, var / "redis")
        except CannotStart as why:
            sys.exit(f"make up: {why}")
        except KeyboardInterrupt:
            return
        token = secrets.token_urlsafe(24)
        env = environment(ports, token=token, dialect=options["dialect"])
        try:
            self._migrate(env)
            login = admin_login(ports.web)
            self.stdout.write("Starting. Warnings are shown; Ctrl-C stops everything.")
            if "password: " in login:  # told once, so also if not all of it comes up
                self.stdout.write(login)
            announce_when_healthy(ports.web, self.style.SUCCESS(login))
            with announce(var / "up.json", env):
                chosen = {"game_master_s": options["game_master"], **{n: options[n] for n in ("dialect", "reload")}}
                code = supervise(
                    commands(ports, token=token, **chosen),
                    env,
                    grace_s=settings.SHUTDOWN_GRACE.total_seconds() + 5,
                    redis=redis,
                    output=None if options["logs"] else Quiet(sys.stdout),
                )
        except KeyboardInterrupt:
            code = 0
        finally:
            redis.send_signal(signal.SIGTERM)
            redis.wait(timeout=30)
        sys.exit(code)

    def _migrate(self, env: dict[str, str]) -> None:
        """Migrate in a separate session, so that Ctrl-C reaches only this process, which then ends the other."""
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        done = subprocess.run(migrate, env=env, check=False, start_new_session=True)  # noqa: S603 - our own arguments
        if code := done.returncode:
            sys.exit(f"make up: migrating the database failed (exit code {code}); see above")


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        sys.exit(f"make up: {variable}: expected a port number, got {text!r}")
    return int(text)
