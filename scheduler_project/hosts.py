"""Under which host names the service answers: those of ALLOWED_HOSTS, and probes under any."""

import re
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http import request as django_request

PROBES: Final = ("/health", "/metrics")
#: Django's, and `_` besides: container platforms use it in names of services.
HOST: Final = re.compile(r"([a-z0-9._-]+|\[[a-f0-9]*:[a-f0-9\.:]+\])(?::([0-9]+))?")


class Hosts:
    """Django middleware: lets ALLOWED_HOSTS list names with `_`, and probes use any name.

    A kubelet or Prometheus asks by an address that nobody knows beforehand. Probes build no URL from the host.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        # Django refuses `_` before it looks into ALLOWED_HOSTS, which remains the decision.
        django_request.host_validation_re = HOST

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if is_probe(request.path_info):
            request.META["HTTP_HOST"] = "localhost"
        return self._get_response(request)


def proxy_ssl_header(text: str) -> tuple[str, str] | None:
    """Return Django's form of a header that means TLS.

    >>> proxy_ssl_header("X-Forwarded-Proto: https")
    ('HTTP_X_FORWARDED_PROTO', 'https')
    """
    name, _, value = text.partition(":")
    return (f"HTTP_{name.upper().replace('-', '_')}", value.strip()) if text else None


def is_probe(path: str) -> bool:
    """Return whether a path below the URL prefix is that of a probe or a scrape.

    >>> is_probe("/health/live"), is_probe("/healthy")
    (True, False)
    """
    return any(path == probe or path.startswith(f"{probe}/") for probe in PROBES)
