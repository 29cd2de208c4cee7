"""Bodies sent in chunks (`Transfer-Encoding: chunked`), as .NET and Go clients do by default.

Django reads as many bytes as Content-Length names, and without the header none: the body would be ignored silently.
"""

import json
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def read_chunked_bodies(application: Application) -> Application:
    """WSGI middleware that reads a chunked body to its end, and gives the request its length.

    Where the server does not mark the end of its input (`wsgi.input_terminated`), the answer is 411.
    """

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not environ.get("HTTP_TRANSFER_ENCODING"):
            return application(environ, start_response)
        if environ.get("wsgi.input_terminated"):
            most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            body = environ["wsgi.input"].read(most + 1)
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input"] = BytesIO(body) if len(body) <= most else _TooLong()
        elif not environ.get("CONTENT_LENGTH"):
            return _require_length(start_response)
        return application(environ, start_response)

    return serve


class _TooLong(BytesIO):
    """Nobody reads a body that was cut off. Django looks at the length itself, but not of forms with files."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise RequestDataTooBig("The body is too long.")

    def readline(self, size: int | None = -1, /) -> bytes:
        raise RequestDataTooBig("The body is too long.")


def _require_length(start_response: Any) -> list[bytes]:
    body = json.dumps({"error": "send the body with Content-Length: this server cannot read chunks"}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("411 Length Required", headers)
    return [body]
