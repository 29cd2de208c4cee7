"""The sandbox's HTTP responses, and the JSON of its requests."""

import json
from collections.abc import Mapping

from sandbox.contract import Record

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    422: "Unprocessable Content",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


class Answer(Exception):
    """An HTTP response, raised to end the handling of a request."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = headers or {}

    def encode(self, request_id: str) -> bytes:
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = (
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Other')}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self.body)}\r\nX-Request-Id: {request_id}\r\n{extra}\r\n"
        )
        return head.encode("latin-1") + self.body


def problem(code: str, message: str) -> Record:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def read_json(body: bytes) -> Record:
    """Read a JSON object. Raises Answer (400)."""
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Answer(400, {"error": f"body: not JSON: {error}"}) from None
    if not isinstance(found, dict):
        raise Answer(400, {"error": "body: expected a JSON object"})
    return found
