"""One fixture for each real thing, stopped whatever happens."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.management.commands import flush
from django.template import Context, Template
from django.test import override_settings, utils
from django.test.signals import template_rendered
from django.utils.safestring import SafeString
from hypothesis import settings as settings_of_laws
from pytest_django import DjangoDbBlocker
from redis import Redis
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from api import wrong_tokens
from jobs import counters, overrides
from jobs.broker import enqueue
from jobs.main_api.client import MainApi, main_api
from jobs.processes.loop import YOUNG_OBJECTS
from monitoring import health
from monitoring.metrics import TOTALS
from tests.support import database, seed
from tests.support.environment import API_PORT, DIALECT, REDIS_PORT, TOKEN
from tests.support.examples import FACTOR
from tests.support.processes import Start, database_url
from tests.support.scheduling import ByFolder, in_order, send_less
from tests.support.servers import ROOT, RedisServer, Running, SandboxApi, manage_in

gc.disable()  # until all tests are collected: modules are no garbage


def _render(template: Template, context: Context) -> SafeString:
    """Tell the test client of the page only, not of each of the sixty templates in it."""
    if context.template is template:  # else it is included, or extended
        template_rendered.send(sender=template, template=template, context=context)
    return template.nodelist.render(context)


utils.instrumented_test_render = _render  # type: ignore[attr-defined]  # not in django-stubs


def pytest_sessionstart(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        send_less(session.config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = in_order(items)


def pytest_collection_finish() -> None:
    """The garbage collector need not scan three thousand tests and all modules, and runs as often as in a process."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)


#: A busy machine is no fault of the law. Every run tries other examples.
settings_of_laws.register_profile("suite", deadline=None, max_examples=40 * FACTOR)
settings_of_laws.load_profile("suite")


@pytest.fixture(autouse=True)
def _variables() -> Iterator[None]:
    """What a test or a library sets is not the next test's: alerts through Apprise switch proxies off."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> None:
    """One round instead of a million for what this process hashes; every process can read it."""
    PBKDF2PasswordHasher.iterations = 1


@pytest.fixture(scope="session", autouse=True)
def _static_files() -> Iterator[None]:
    """Each test's client has middleware of its own, but the static files are looked for once."""
    search: Callable[[WhiteNoiseMiddleware], None] = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, dict[str, StaticFile]] = {}

    def add(middleware: WhiteNoiseMiddleware) -> None:
        if (prefix := middleware.static_prefix) not in found:
            search(middleware)
            found[prefix] = middleware.files
        middleware.files = {**middleware.files, **found[prefix]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", add)
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A folder of all workers of the run."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if hasattr(pytestconfig, "workerinput") else folder


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: DjangoDbBlocker, shared_folder: Path
) -> Iterator[None]:
    """A database whose flush after a committing test restores the seeded rows with few statements."""
    with django_db_blocker.unblock():
        database.use_copy(shared_folder)
        write = seed.remember()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "emit_post_migrate_signal", write)
        patch.setattr(flush, "sql_flush", seed.flush_statements)
        yield
    with django_db_blocker.unblock():
        database.discard_copy()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis of REDIS_URL."""
    server = RedisServer(REDIS_PORT)
    yield server
    server.stop()


@pytest.fixture
def redis(redis_server: RedisServer) -> Redis:
    """An empty Redis; counts and jobs of earlier tests in this process do not reach it."""
    client = Redis.from_url(redis_server.url)
    counters.flush()
    enqueue.unread.clear()
    client.flushall()
    return client


@pytest.fixture(scope="session")
def sandbox_process(redis_server: RedisServer) -> Iterator[SandboxApi]:
    """The sandbox of API_URL."""
    sandbox = SandboxApi(API_PORT, TOKEN, redis_server.url)
    yield sandbox
    sandbox.running.stop()


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, sandbox_process: SandboxApi, redis: Redis) -> SandboxApi:
    """The sandbox as seeded, without faults; in another dialect for a test that is marked with one."""
    sandbox_process.reset()
    if dialect := getattr(request, "param", ""):
        sandbox_process.control("POST", "dialect", {"dialect": dialect})
    return sandbox_process


@pytest.fixture
def api(sandbox: SandboxApi) -> MainApi:
    """A client of the sandbox that knows whether it serves names, so that tests can count requests."""
    client = main_api()
    if DIALECT != "contract":
        client.campaign("campaign-1")
    return client


@pytest.fixture
def start(transactional_db: None, redis: Redis) -> Iterator[Start]:
    """Starts processes of the service on the tests' database."""
    with ExitStack() as ends:  # all of them, although one had to be killed

        def begin(*words: str, tree: Path = ROOT, **environment: str) -> Running:
            process = manage_in(tree, *words, DATABASE_URL=database_url(), **environment)
            ends.callback(_end, process)
            return process

        yield begin


def _end(process: Running) -> None:
    code = process.stop()
    print(f"{process.log.name} ended with {code}:", *process.log.read_text().splitlines()[-20:], sep="\n")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    """What this process knows must not reach the next test."""
    health.HEALTH.forget()
    health.READINESS.forget()
    TOTALS.forget()
    wrong_tokens.forget()
    overrides.use({})  # what a test has set for a job type
    main_api.cache_clear()  # its breaker counts the calls of the last ten seconds


@pytest.fixture
def foreign_jobs() -> Iterator[None]:
    """Workers of this process run plain RQ jobs of a few harmless functions."""
    functions = {"builtins.len", "builtins.int", "tests.support.foreign.hang"}
    with override_settings(RUN_FOREIGN_RQ_JOBS=True, RUN_FOREIGN_RQ_FUNCTIONS=frozenset(functions)):
        yield


@pytest.fixture
def queue_names() -> tuple[str, ...]:
    """The queues in order."""
    return tuple(settings.QUEUE_NAMES)
