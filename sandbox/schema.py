"""GraphQL over the world: the contract's SDL with a resolver for each field. Each document is parsed only once."""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute_sync,
    parse,
    validate,
)

from sandbox.contract import Record
from sandbox.dialect import Dialect
from sandbox.plan import FieldOutcome, Plan, plan_of
from sandbox.world import World


def _from_record(record: Record, info: Any, **_: Any) -> Any:
    return record.get(info.field_name)


QUERIES: dict[str, Callable[[World, dict[str, Any]], Any]] = {
    "campaigns": lambda w, a: list(w.campaigns.values()),
    "campaign": lambda w, a: w.campaigns.get(a["id"]),
    "getCurrentWorldTime": lambda w, a: (w.campaigns.get(a["campaignId"]) or {}).get("currentWorldTime"),
    "branches": lambda w, a: w.of(a["campaignId"], "branches"),
    "getEffect": lambda w, a: w.effects.get(a["id"]),
    "getOverdueEvents": lambda w, a: w.overdue(a["campaignId"]),
    "kingdomsByCampaign": lambda w, a: w.of(a["campaignId"], "kingdoms"),
    "settlementsByKingdom": lambda w, a: w.of(a["kingdomId"], "settlements"),
    "structuresBySettlement": lambda w, a: w.of(a["settlementId"], "structures"),
    "settlement": lambda w, a: w.settlements.get(a["id"]),
    "structure": lambda w, a: w.structures.get(a["id"]),
}
#: Beyond the contract, where the dialect serves more.
MORE: dict[str, Callable[[World, dict[str, Any]], Any]] = {
    "world": lambda w, a: w.worlds.get(a["id"]),
    "eventsByCampaign": lambda w, a: w.of(a["campaignId"], "events"),
    "event": lambda w, a: w.events.get(a["id"]),
    "getEffectsForEntity": lambda w, a: w.effects_of(a["entityType"], a["entityId"], a["timing"]),
}
_READS = QUERIES | MORE
_MORE_SDL = """world(id: ID!): World
  eventsByCampaign(campaignId: ID!): [Event!]!
  event(id: ID!): Event
  getEffectsForEntity(entityType: String!, entityId: ID!, timing: EffectTiming!): [Effect!]!"""


MUTATIONS: dict[str, Callable[[World, dict[str, Any]], Any]] = {
    "expireEvent": lambda w, a: w.complete(a["eventId"]),
    "completeEvent": lambda w, a: w.resolve(a["id"], w.execute),
    "executeEffect": lambda w, a: (
        {"success": True, "error": None, "executionId": None, "affectedFields": []}
        if a["input"].get("dryRun")
        else w.execute(a["input"]["effectId"])
    ),
    "updateSettlement": lambda w, a: w.update("Settlement", a["id"], a["input"]),
    "updateStructure": lambda w, a: w.update("Structure", a["id"], a["input"]),
    "advanceWorldTime": lambda w, a: w.advance(a["input"]["campaignId"], a["input"]["to"]),
}


class Service:
    """Executes GraphQL requests over `world`. `before` is called with each root field and may raise to refuse it."""

    def __init__(self, world: World, before: Callable[[str, dict[str, Any]], None], dialect: Dialect) -> None:
        self.world = world
        self.dialect = dialect
        self.before = before
        self.schema = _schema(dialect.points)
        self._is_plain = not dialect.points and not dialect.missing_is_error

    def execute(self, query: str, variables: Record | None, operation: str | None, *, api_key: bool = False) -> Record:
        """Return the response to a request. Raises Unauthorized if an API key is not valid for it."""
        document, plan, errors = _prepare(query, self.schema)
        if errors:
            return {"errors": [error.formatted for error in errors]}
        if refused := self.dialect.check(document, api_key=api_key):
            return {"errors": [refused.formatted]}
        outcomes: dict[str, FieldOutcome] = {}
        if plan is not None and self._is_plain and (not operation or operation == plan.name):
            data = plan.execute({} if variables is None else variables, self.resolve, outcomes)
            if data is not None:
                return {"data": data}
        answer = execute_sync(
            self.schema,
            document,
            context_value=_Context(self, outcomes),
            variable_values=variables,
            operation_name=operation,
            check_sync=False,
        )
        return self.dialect.answer(answer.data, [_format(error) for error in answer.errors or ()])

    def resolve(self, name: str, args: dict[str, Any]) -> Any:
        """Carry out a root field. May raise to refuse it."""
        self.before(name, args)
        mutation = name in MUTATIONS
        run = MUTATIONS[name] if mutation else _READS[name]
        if self._is_plain:
            return run(self.world, args)
        self.dialect.before(self.world, name, args, mutation=mutation)
        return self.dialect.root(self.world, name, args, lambda: run(self.world, args))


class _Context(NamedTuple):
    """A request as graphql-core's resolvers see it, and what a plan has carried out of it."""

    service: Service
    outcomes: dict[str, FieldOutcome]


@cache
def _schema(points: frozenset[int]) -> GraphQLSchema:
    """The schema of a dialect, for all services that speak it: building it takes longer than a world does."""
    schema = build_schema(_sdl(Dialect(points)))
    for type_name in ("Query", "Mutation"):
        kind = schema.type_map[type_name]
        if not isinstance(kind, GraphQLObjectType):
            raise TypeError(f"{type_name} is not an object type")
        for field in kind.fields.values():
            field.resolve = _root
    value = _value if points else _from_record  # a dialect costs only those who ask for it
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for field in kind.fields.values():
                field.resolve = field.resolve or value
    return schema


def _value(record: Record, info: Any, **_: Any) -> Any:
    return info.context.service.dialect.value(info.parent_type.name, info.field_name, record)


def _root(_source: Any, info: Any, **args: Any) -> Any:
    context: _Context = info.context
    known = context.outcomes.get(info.path.key)
    return known.replay() if known else context.service.resolve(info.field_name, args)


class _Prepared(NamedTuple):
    document: DocumentNode
    plan: Plan | None
    errors: list[GraphQLError]


@lru_cache(maxsize=2000)
def _prepare(query: str, schema: GraphQLSchema) -> _Prepared:
    document, errors = _parse(query)
    if not errors:
        errors = validate(schema, document)
    return _Prepared(document, None if errors else plan_of(document, schema), errors)


@lru_cache(maxsize=2000)
def _parse(query: str) -> tuple[DocumentNode, list[GraphQLError]]:
    try:
        return parse(query), []
    except GraphQLError as error:
        return DocumentNode(), [error]


def _sdl(dialect: Dialect) -> str:
    """The contract's SDL as the dialect has it."""
    sdl = (Path(__file__).parent / "schema.graphql").read_text()
    if dialect.has(2):
        named = "Campaign|Kingdom|Settlement|Structure|Event"
        sdl = re.sub(rf"(type (?:{named}) \{{[^}}]*?name: )String!", r"\1DateTime!", sdl)
    if dialect.serves_more:
        sdl = re.sub(r"(type Campaign \{)", r"\1\n  worldId: ID", sdl)
        sdl = re.sub(r"(type Query \{)", rf"\1\n  {_MORE_SDL}", sdl)
        sdl += "\ntype World {\n  id: ID!\n  calendars: JSON\n}\n"
    if dialect.has(15):
        sdl = sdl.replace("affectedFields: [String!]", "affectedFields: [String!]\n  patchApplied: JSON")
    return sdl


def is_mutation(query: str) -> bool:
    """Return whether a document holds a mutation."""
    document, errors = _parse(query)
    operations = [d for d in (() if errors else document.definitions) if isinstance(d, OperationDefinitionNode)]
    return any(o.operation.value == "mutation" for o in operations)


def _format(error: GraphQLError) -> Record:
    formatted: Record = dict(error.formatted)
    if "extensions" not in formatted:  # without a path no field was executed: the request itself is invalid
        broke = error.path is not None and error.original_error is not None
        formatted["extensions"] = {"code": "INTERNAL_SERVER_ERROR" if broke else "BAD_USER_INPUT"}
    return formatted
