"""The service's processes, started by a test."""

from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from tests.support.servers import Running

Start = Callable[..., Running]


def database_url() -> str:
    """The tests' database, as other processes find it."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    from tests.support.environment import DATABASE_URL  # importing it changes the environment

    return urlunsplit(urlsplit(DATABASE_URL)._replace(path=f"/{name}"))
