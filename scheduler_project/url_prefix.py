"""A URL prefix, for a proxy that serves the scheduler below a path such as /scheduler."""

from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def strip_prefix(application: Application, prefix: str) -> Application:
    """Remove `prefix` from the paths of requests, for proxies that pass the path on unchanged.

    Requests without it are served as well: proxies may have removed it, and probes come directly. Django puts it
    before every URL, since it is its FORCE_SCRIPT_NAME.
    """
    if not prefix:
        return application

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == prefix or path.startswith(f"{prefix}/"):
            environ["PATH_INFO"] = path.removeprefix(prefix) or "/"
        return application(environ, start_response)

    return serve
