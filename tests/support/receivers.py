"""Real receivers on this machine: an HTTP server and a mail server that keep what they are sent, and a main API that
answers what it is told to.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message as Mail
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from aiosmtpd.controller import Controller

from sandbox.ports import free_port


@dataclass
class Request:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class HttpReceiver:
    """Keeps requests; answers with each of `statuses` once, then 200."""

    url: str
    got: list[Request] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirect_to: str = ""
    retry_after: str = ""  #: sent with every status but 200
    answer: bytes = b"ok"
    gate: threading.Event = field(default_factory=threading.Event)  #: while it is not set nothing is answered


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """An HTTP server that accepts every POST."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.got.append(Request(self.path, dict(self.headers), body))
            receiver.gate.wait(30)
            status = receiver.statuses.pop(0) if receiver.statuses else 200
            self.send_response(307 if receiver.redirect_to else status)
            if receiver.redirect_to:
                self.send_header("Location", receiver.redirect_to)
            if receiver.retry_after and status != 200:
                self.send_header("Retry-After", receiver.retry_after)
            self.send_header("Content-Length", str(len(receiver.answer)))
            self.end_headers()
            self.wfile.write(receiver.answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = HttpReceiver(f"http://127.0.0.1:{server.server_port}")
    receiver.gate.set()
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        server.shutdown()
        server.server_close()


@contextmanager
def mail_receiver() -> Iterator[tuple[int, list[Mail]]]:
    """An SMTP server: its port and the mails that it accepted."""
    mails: list[Mail] = []

    class Keep:
        async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
            mails.append(message_from_bytes(envelope.content))
            return "250 taken"

    controller = Controller(Keep(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller.port, mails
    finally:
        controller.stop()


@contextmanager
def other_api(answer: Callable[[dict[str, Any]], dict[str, Any] | bytes | int]) -> Iterator[str]:
    """The URL of an API that answers each request (`query` and `variables`) as `answer` says: a body or a status."""

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(said if isinstance(said, int) else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/graphql"
        server.shutdown()


@contextmanager
def raw_server(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends these bytes after every request and closes the connection: its URL, and what it received."""
    heard: list[bytes] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            head = "".join(iter(lambda: self.rfile.readline().decode(), "\r\n"))
            heard.append(self.rfile.read(int(head.lower().partition("content-length:")[2].split()[0])))
            with suppress(OSError):  # the client has had enough
                self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/graphql", heard
        server.shutdown()


@contextmanager
def dripping_server(beginning: bytes = b"") -> Iterator[int]:
    """The port of a server that answers with this and then a byte every now and then, for as long as it may."""
    ended = threading.Event()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(beginning)
                while not ended.wait(0.05):
                    self.request.sendall(b"x")

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server.server_address[1]
        ended.set()
        server.shutdown()
