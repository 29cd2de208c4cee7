"""Reads the environment variables that variables.py lists.

`read()` reports all invalid values together, one line each. Only `settings.py` calls it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from environs import Env, EnvValidationError

from scheduler_project.text import is_storable
from scheduler_project.variables import DEVELOPMENT_SECRET_KEY, VARIABLES


class BadEnvironment(Exception):
    """One or more environment variables are missing or invalid; `faults` has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


def read(dotenv: Path | None = None) -> dict[str, Any]:
    """Return the environment, ENVIRONMENT included, as typed values by name; `dotenv` provides what is not set.

    Raises BadEnvironment with one line for every missing or invalid variable.
    """
    env = Env(eager=False)
    if dotenv and dotenv.exists():
        try:
            env.read_env(str(dotenv), recurse=False)
        except ValueError as error:  # not UTF-8, or a NUL character
            raise BadEnvironment([f"{dotenv.name}: cannot be read: {error}"]) from None
    values: dict[str, Any] = {}
    environment = env.str("ENVIRONMENT", None) or env.str("NODE_ENV", None) or "development"
    values["ENVIRONMENT"] = environment
    for variable in VARIABLES:
        reader = getattr(env, variable.kind)
        values[variable.name] = reader(variable.name, variable.default, validate=variable.check)
    faults = []
    try:
        env.seal()
    except EnvValidationError as error:
        found = dict(error.error_messages) if isinstance(error.error_messages, Mapping) else {"": error.error_messages}
        faults += [f"{name}: {' '.join(map(str, messages))}" for name, messages in found.items()]
    texts = {name: "".join(value) if isinstance(value, list) else value for name, value in values.items()}
    odd = [name for name, value in texts.items() if isinstance(value, str) and not is_storable(value)]
    faults += [f"{name}: contains NUL, or bytes that are not UTF-8" for name in odd]
    faults += _faults_between(values)
    if faults:
        raise BadEnvironment(faults)
    return values


def _faults_between(values: Mapping[str, Any]) -> list[str]:
    """Check the rules that involve several variables, or the environment."""
    faults = []
    environment = values["ENVIRONMENT"]
    if environment not in ("development", "production", "test"):
        faults.append(f"ENVIRONMENT: expected development, production or test, got {environment!r}")
    if environment == "production":
        if not values["API_SERVICE_ACCOUNT_TOKEN"]:
            faults.append("API_SERVICE_ACCOUNT_TOKEN: must be set when ENVIRONMENT=production")
        if values["SECRET_KEY"] == DEVELOPMENT_SECRET_KEY:
            faults.append("SECRET_KEY: must be set when ENVIRONMENT=production")
        if "DATABASE_URL" not in os.environ:  # each container would have its own SQLite file
            faults.append("DATABASE_URL: must be set when ENVIRONMENT=production")
    if values["SECRET_KEY"] == "":
        faults.append("SECRET_KEY: must not be empty")
    if values["EMAIL_USE_TLS"] and values["EMAIL_USE_SSL"]:
        faults.append("EMAIL_USE_SSL: EMAIL_USE_TLS is set, too; set only one of them")
    if values["RUN_FOREIGN_RQ_JOBS"] and not values["RUN_FOREIGN_RQ_FUNCTIONS"]:
        faults.append("RUN_FOREIGN_RQ_JOBS: set RUN_FOREIGN_RQ_FUNCTIONS, too: it lists the functions to run")
    concurrency, pool = values["QUEUE_CONCURRENCY"], values["DATABASE_POOL_SIZE"]
    if concurrency and pool and concurrency + 2 > pool:
        faults.append(
            f"QUEUE_CONCURRENCY: {values['QUEUE_CONCURRENCY']} jobs and 2 housekeeping threads need more database "
            f"connections than DATABASE_POOL_SIZE={values['DATABASE_POOL_SIZE']}: raise it, or lower QUEUE_CONCURRENCY"
        )
    return faults
