"""The schema that the main API serves, as far as it lets itself be introspected."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from jobs.main_api import operations
from jobs.main_api.conformance.asker import Asked
from jobs.main_api.conformance.report import quote

if TYPE_CHECKING:
    from graphql import IntrospectionQuery

#: The type of each field of each type: `{"Campaign": {"name": "String!"}}`.
Types = Mapping[str, Mapping[str, str]]


def introspection() -> str:
    """The query for the schema."""
    from graphql import get_introspection_query  # loading a parser is a fifth of a process's start

    return get_introspection_query(descriptions=False)


def why_missing(asked: Asked) -> str:
    """Why an answer holds no schema; empty if it does."""
    if isinstance(asked.answer.data.get("__schema"), Mapping):
        return ""
    return quote(asked.why("introspection") or "the answer holds no schema")


def types_of(data: Mapping[str, Any]) -> Types:
    """The fields, and input fields, of each type; empty if there is no schema. Odd entries are left out."""
    schema = data.get("__schema")
    listed = schema.get("types") if isinstance(schema, Mapping) else None
    found: dict[str, dict[str, str]] = {}
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping):
            fields = [*(one.get("fields") or ()), *(one.get("inputFields") or ())]
            found[str(one.get("name"))] = {
                str(field.get("name")): _type_text(field.get("type")) for field in fields if isinstance(field, Mapping)
            }
    return found


def violations(data: Mapping[str, Any]) -> dict[str, str]:
    """For each operation how it violates the schema, empty if it does not. Raises TypeError if there is no schema."""
    from graphql import build_client_schema, parse, validate  # late, as above

    schema = build_client_schema(cast("IntrospectionQuery", data))  # whatever is served
    found = {}
    for name in operations.names():
        sizes = (1,) if name in ("campaigns", "executeEffect") else (1, 2)
        faults = [error.message for size in sizes for error in validate(schema, parse(operations.text(name, size)))]
        found[name] = quote("; ".join(faults)) if faults else ""
    return found


def _type_text(kind: object) -> str:
    """
    >>> _type_text({"kind": "NON_NULL", "name": None, "ofType": {"kind": "SCALAR", "name": "ID", "ofType": None}})
    'ID!'
    """
    if not isinstance(kind, Mapping):
        return "?"
    match kind.get("kind"):
        case "NON_NULL":
            return f"{_type_text(kind.get('ofType'))}!"
        case "LIST":
            return f"[{_type_text(kind.get('ofType'))}]"
        case _:
            return str(kind.get("name"))
