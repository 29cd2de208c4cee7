"""Answers of the main API to an effect, as the sandbox gives them instead of its own."""

import json
from typing import Any

EXECUTED: dict[str, Any] = {"success": True, "error": None, "executionId": "x-1", "affectedFields": []}


def body(**answer: Any) -> str:
    return json.dumps(answer)


def refusal(code: str | None, path: list[Any] | None = None) -> str:
    error = {"message": "no", "path": path} | ({"extensions": {"code": code}} if code else {})
    return body(data=None, errors=[error])


#: What the main API answers after it has executed the effect, and what becomes of the job.
UNCLEAR: dict[str, dict[str, Any]] = {
    "HTTP 500": {"status": 500, "body": "no"},
    "HTTP 502 by a proxy": {"status": 502, "body": "<html>bad gateway</html>"},
    "HTTP 503": {"status": 503, "body": "come again"},
    "HTTP 504 with the answer": {"status": 504, "body": body(data={"executeEffect": EXECUTED})},
    "HTTP 302": {"status": 302, "body": ""},
    "HTTP 404": {"status": 404, "body": "not here"},
    "data null": {"body": body(data=None)},
    "data empty": {"body": body(data={})},
    "data a list": {"body": body(data=[])},
    "field null": {"body": body(data={"executeEffect": None})},
    "field a text": {"body": body(data={"executeEffect": "ok"})},
    "success a text": {"body": body(data={"executeEffect": {**EXECUTED, "success": "true"}})},
    "success a number": {"body": body(data={"executeEffect": {**EXECUTED, "success": 1}})},
    "success missing": {"body": body(data={"executeEffect": {"executionId": "x"}})},
    "errors a text": {"body": body(errors="upstream timed out")},
    "errors a map": {"body": body(errors={"message": "upstream timed out"})},
    "errors of texts": {"body": body(data=None, errors=["timed out"])},
    "errors of nulls": {"body": body(data=None, errors=[None])},
    "an error without a code": {"body": refusal(None)},
    "INTERNAL_SERVER_ERROR": {"body": refusal("INTERNAL_SERVER_ERROR", ["executeEffect"])},
    "too many requests, but not by HTTP": {"body": refusal("TOO_MANY_REQUESTS", ["executeEffect"])},
    "a code that is no text": {"body": body(data=None, errors=[{"message": 1, "extensions": {"code": ["FORBIDDEN"]}}])},
    "a refusal below the field": {"body": refusal("NOT_FOUND", ["executeEffect", "affectedFields"])},
    "a refusal of another field": {"body": refusal("BAD_REQUEST", ["updateSettlement"])},
    "a refusal beside a sign that it ran": {
        "body": body(
            data=None,
            errors=[
                {"message": "no", "path": ["executeEffect", "success"]},
                {"message": "changed", "extensions": {"code": "CONFLICT"}},
            ],
        )
    },
    "a refusal beside an answer": {
        "body": body(
            data={"executeEffect": {"executionId": "x-1"}},
            errors=[{"message": "changed", "path": [], "extensions": {"code": "CONFLICT"}}],
        )
    },
    "two errors for the field": {
        "body": body(
            data=None,
            errors=[
                {"message": "no", "path": ["executeEffect"], "extensions": {"code": "INTERNAL_SERVER_ERROR"}},
                {"message": "no", "path": ["executeEffect"], "extensions": {"code": "CONFLICT"}},
            ],
        )
    },
    "a refusal whose path is a text": {
        "body": body(data=None, errors=[{"path": "executeEffect.error", "extensions": {"code": "CONFLICT"}}])
    },
    "a refusal whose path holds a null": {"body": refusal("CONFLICT", ["executeEffect", None])},
    "a key twice": {"body": body(data={"executeEffect": EXECUTED})[:-1] + "," + refusal("CONFLICT")[1:]},
    "success twice": {"body": '{"data":{"executeEffect":{"success":true,"success":false}}}'},
    "a million errors": {"body": '{"errors":[' + "{}," * 1_000_000 + "{}]}"},
    "nested 200,000 levels deep": {"body": "[", "times": 200_000},
    "no JSON": {"body": "<html>"},
    "empty": {"body": ""},
    "half of it": {"body": '{"data":{"executeEffect":{"success":tr'},
    "a scalar": {"body": "true"},
    "9 MB": {"body": " " * 1024, "times": 9 * 1024},
}
REFUSED: dict[str, dict[str, Any]] = {
    "HTTP 401": {"status": 401, "body": "no"},
    "HTTP 413": {"status": 413, "body": "too large"},
    "NOT_FOUND": {"body": refusal("NOT_FOUND", ["executeEffect"])},
    "NOT_FOUND without a path": {"body": refusal("NOT_FOUND")},
    "BAD_USER_INPUT": {"body": refusal("BAD_USER_INPUT", ["executeEffect"])},
    "a document that is not valid": {"status": 400, "body": refusal("GRAPHQL_VALIDATION_FAILED")},
    "FORBIDDEN": {"body": refusal("FORBIDDEN", ["executeEffect"])},
    "success false": {"body": body(data={"executeEffect": {**EXECUTED, "success": False, "error": "inactive"}})},
}
UNDERSTOOD: dict[str, dict[str, Any]] = {
    "an error beside it": {"body": body(data={"executeEffect": EXECUTED}, errors=[{"message": "slow"}])},
    "odd details": {"body": body(data={"executeEffect": {**EXECUTED, "executionId": 7, "affectedFields": "all"}})},
    "half a surrogate pair": {"body": body(data={"executeEffect": {**EXECUTED, "executionId": "\ud83c"}})},
    "a NUL": {"body": body(data={"executeEffect": {**EXECUTED, "executionId": "\0"}})},
    "a byte order mark": {"body": "\ufeff" + body(data={"executeEffect": EXECUTED})},
}
