"""A body sent in chunks is read as one with a length."""

from io import BytesIO
from typing import Any

import pytest
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import WSGIRequest

from scheduler_project.chunked_bodies import read_chunked_bodies

UNTERMINATED: dict[str, Any] = {"wsgi.input_terminated": False}
FORM = "application/x-www-form-urlencoded"
FILE = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n%s\r\n--b--\r\n'


def serve(body: bytes, *, kind: str = "application/json", **environ: Any) -> tuple[str, WSGIRequest | None]:
    """The status of the answer, and the request as a view gets it."""
    statuses: list[str] = []
    got: list[WSGIRequest] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        got.append(WSGIRequest(environ))
        start_response("200 OK", [])
        return [b""]

    given = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_TYPE": kind,
        "wsgi.input": BytesIO(body),
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        **environ,
    }
    read_chunked_bodies(application)(given, lambda status, _headers: statuses.append(status))
    return statuses[0], got[0] if got else None


@pytest.mark.parametrize(
    "environ", [{}, {"CONTENT_LENGTH": "2"}, {"CONTENT_LENGTH": ""}, {"HTTP_TRANSFER_ENCODING": "Chunked"}]
)
def test_a_chunked_body_is_read_to_its_end(environ: dict[str, Any]) -> None:
    """Chunks win over a Content-Length, which HTTP allows no client to send with them."""
    status, request = serve(b'{"reason": "asked for"}', **environ)

    assert request
    assert (status, request.body) == ("200 OK", b'{"reason": "asked for"}')


def test_a_chunked_form_is_read() -> None:
    _, request = serve(b"reason=asked+for", kind=FORM)

    assert request
    assert request.POST["reason"] == "asked for"


@pytest.mark.parametrize(
    ("body", "kind"), [(b"x" * 101, "application/json"), (FILE % (b"x" * 50), "multipart/form-data; boundary=b")]
)
def test_a_chunked_body_is_not_cut_off(body: bytes, kind: str, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    _, request = serve(body, kind=kind)

    assert request
    with pytest.raises(RequestDataTooBig):
        _ = request.FILES, request.body


def test_the_longest_chunked_body_is_read(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    _, request = serve(b"x" * 100)

    assert request
    assert request.body == b"x" * 100


def test_a_server_that_does_not_read_chunks_says_so() -> None:
    """Otherwise the request would be obeyed without its body."""
    assert serve(b"{}", **UNTERMINATED) == ("411 Length Required", None)


def test_a_body_with_a_length_is_left_to_django() -> None:
    for environ in ({"HTTP_TRANSFER_ENCODING": ""}, UNTERMINATED):
        _, request = serve(b"{}, and what is not read", CONTENT_LENGTH="2", **environ)

        assert request
        assert request.body == b"{}"
