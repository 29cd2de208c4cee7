"""Reads the environment variables that variables.py lists.

`read()` reports all invalid values together, one line each: the variable, what fits, what was given. Only `settings.py`
calls it.
"""

import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Final

from environs import Env, EnvValidationError

from scheduler_project.text import fits_postgresql
from scheduler_project.variable_checks import is_loopback, is_weak_key
from scheduler_project.variables import VARIABLES, Variable

ENVIRONMENTS: Final = ("development", "production", "test")
LONGEST_SHOWN: Final = 100  #: characters of a value in a message
_CHOSEN_ELSEWHERE: Final = frozenset({"EMAIL_HOST_PASSWORD"})  #: may really begin and end with a quote
_KINDS: Final = {"int": "expected a whole number", "bool": "expected true or false"}


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
    # An empty one is refused: Compose makes one of a variable that is not set, and development has a public SECRET_KEY.
    environment = env.str("ENVIRONMENT", env.str("NODE_ENV", "development"))
    values["ENVIRONMENT"] = environment
    raw = {variable.name: env.str(variable.name, None) for variable in VARIABLES}
    for variable in VARIABLES:
        reader = getattr(env, variable.kind)
        values[variable.name] = reader(variable.name, variable.default, validate=variable.check)
    found = _faults_found(env, raw)
    faults = [
        f"{variable.name}: {found[variable.name]}; got {_redact(variable, raw[variable.name] or '')}"
        for variable in VARIABLES
        if variable.name in found
    ]
    more = _faults_between(values)
    if environment == "production":
        more += _faults_of_production(values, {name for name, text in raw.items() if text is not None})
    faults += [fault for fault in more if fault.partition(":")[0] not in found]
    if faults:
        raise BadEnvironment(faults)
    return values


def _faults_found(env: Env, raw: Mapping[str, str | None]) -> dict[str, str]:
    """What is wrong with single variables, by their names."""
    found: dict[str, str] = {}
    try:
        env.seal()
    except EnvValidationError as error:
        messages = error.error_messages if isinstance(error.error_messages, Mapping) else {}
        found = {name: " ".join(map(str, texts)) for name, texts in messages.items()}
    for variable in VARIABLES:
        text = raw[variable.name]
        if text is None:
            continue
        if not fits_postgresql(text):
            found[variable.name] = "contains NUL, or bytes that are not UTF-8"
        elif _is_quoted(text) and variable.name not in _CHOSEN_ELSEWHERE:
            found[variable.name] = "is wrapped in quotes, which Docker's env files keep: remove them"
        elif found.get(variable.name, "").startswith("Not a valid"):  # marshmallow's words
            found[variable.name] = _KINDS[variable.kind]
        elif variable.kind == "int" and not re.fullmatch(r"-?[0-9]+", text):  # int() takes " 1_0", gunicorn does not
            found[variable.name] = _KINDS["int"]
    return found


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def _redact(variable: Variable, raw: str) -> str:
    """Return the value as a message may show it: in one line, bounded, without passwords."""
    if variable.is_secret:
        return f"{len(raw)} characters"
    if variable.name.endswith("_URL"):  # also one that cannot be parsed, because its password has an odd character
        raw = re.sub(r"(://|^).*@", r"\1***@", raw, flags=re.DOTALL)
        raw = re.sub(r"([?&][^=&]*(?:password|secret)[^=&]*=)[^&]*", r"\1***", raw, flags=re.IGNORECASE)
    return repr(raw if len(raw) <= LONGEST_SHOWN else f"{raw[:LONGEST_SHOWN]}…")


def _faults_between(values: Mapping[str, Any]) -> list[str]:
    """Check the rules that involve several variables, or the environment."""
    faults = []
    environment = values["ENVIRONMENT"]
    if environment not in ENVIRONMENTS:
        faults.append(f"ENVIRONMENT: expected development, production or test; got {environment[:LONGEST_SHOWN]!r}")
    if values["SECRET_KEY"] == "":
        faults.append("SECRET_KEY: must not be empty")
    if values["EMAIL_USE_TLS"] and values["EMAIL_USE_SSL"]:
        faults.append("EMAIL_USE_SSL: EMAIL_USE_TLS is set, too; set only one of them")
    user, password = values["EMAIL_HOST_USER"], values["EMAIL_HOST_PASSWORD"]
    if bool(user) != bool(password) and None not in (user, password):  # Django logs in only with both
        missing, given = ("EMAIL_HOST_PASSWORD", "EMAIL_HOST_USER")[:: 1 if user else -1]
        faults.append(f"{missing}: {given} is set; set both of them, or neither")
    if values["RUN_FOREIGN_RQ_JOBS"] and not values["RUN_FOREIGN_RQ_FUNCTIONS"]:
        faults.append("RUN_FOREIGN_RQ_JOBS: set RUN_FOREIGN_RQ_FUNCTIONS, too: it lists the functions to run")
    if values["SECURE_PROXY_SSL_HEADER"] and values["TRUSTED_PROXIES"] == 0:  # else all people share one address
        faults.append("TRUSTED_PROXIES: SECURE_PROXY_SSL_HEADER says that a proxy is in front; set how many there are")
    concurrency, pool = values["QUEUE_CONCURRENCY"], values["DATABASE_POOL_SIZE"]
    if concurrency and pool and concurrency + 2 > pool:
        faults.append(
            f"QUEUE_CONCURRENCY: {values['QUEUE_CONCURRENCY']} jobs and 2 housekeeping threads need more database "
            f"connections than DATABASE_POOL_SIZE={values['DATABASE_POOL_SIZE']}: raise it, or lower QUEUE_CONCURRENCY"
        )
    return faults


def _faults_of_production(values: Mapping[str, Any], given: Set[str]) -> list[str]:
    """Check what only production requires; `given` has the variables that are set."""
    faults = []
    if not values["API_SERVICE_ACCOUNT_TOKEN"]:
        faults.append("API_SERVICE_ACCOUNT_TOKEN: must be set when ENVIRONMENT=production")
    if is_weak_key(values["SECRET_KEY"] or ""):
        faults.append(
            "SECRET_KEY: must be set to 50 random characters or more when ENVIRONMENT=production: "
            'python -c "import secrets; print(secrets.token_urlsafe(50))"'
        )
    if "DATABASE_URL" not in given:  # each container would have its own SQLite file
        faults.append("DATABASE_URL: must be set when ENVIRONMENT=production")
    hosts = values["ALLOWED_HOSTS"]
    if hosts is not None and (not hosts or "*" in hosts):
        faults.append("ALLOWED_HOSTS: must name the service's hosts, without *, when ENVIRONMENT=production")
    if values["API_URL"] and is_loopback(values["API_URL"]) and not values["ALLOW_LOOPBACK_API"]:
        faults.append("API_URL: is on this machine; if that is right in production, set ALLOW_LOOPBACK_API=true")
    if values["SECURE_PROXY_SSL_HEADER"] == "" and not values["ALLOW_PLAIN_HTTP"]:
        faults.append(
            "SECURE_PROXY_SSL_HEADER: must name the header of the proxy that ends TLS, such as X-Forwarded-Proto: "
            "https, when ENVIRONMENT=production; without TLS set ALLOW_PLAIN_HTTP=true"
        )
    return faults
