"""Plans: documents that are executed many times, without graphql-core's work for each value.

A plan carries out what is ordinary: fields, aliases and fragments, and variables as the arguments of root fields. It
makes no errors. Where a value is not as the schema has it, or a resolver raises, graphql-core executes the document
instead, with what the root fields have returned by then, so that none of them runs twice.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    VariableNode,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_scalar_type,
    specified_scalar_types,
    type_from_ast,
)
from graphql.utilities.coerce_input_value import coerce_default_value

from sandbox.contract import Record

Convert = Callable[[Any], Any]
#: The standard scalars that are the same in JSON and in Python; the others are converted.
_PLAIN: Final[Mapping[str, type]] = {"String": str, "ID": str, "Boolean": bool}


class Odd(Exception):
    """Something that a plan leaves to graphql-core."""


class FieldOutcome(NamedTuple):
    """What a root field has returned, or what it has raised."""

    value: Any = None
    error: Exception | None = None

    def replay(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


class _Root(NamedTuple):
    key: str
    name: str
    arguments: Mapping[str, str]  #: the variable of each
    complete: Convert


class Plan(NamedTuple):
    """An operation, compiled."""

    name: str
    variables: Mapping[str, Convert]
    fields: list[_Root]

    def execute(
        self, given: Mapping[str, Any], resolve: Callable[[str, dict[str, Any]], Any], outcomes: dict[str, FieldOutcome]
    ) -> Record | None:
        """Return the data; None if graphql-core is to go on, after the root fields that are in `outcomes`."""
        try:
            values = {name: convert(given[name]) for name, convert in self.variables.items()}
        except (Odd, KeyError, TypeError):  # a variable is missing, or they are no map
            return None
        data: Record = {}
        for key, name, arguments, complete in self.fields:
            try:
                found = resolve(name, {one: values[variable] for one, variable in arguments.items()})
            except Exception as error:  # noqa: BLE001 - a refusal, or a bug: either becomes the field's error
                outcomes[key] = FieldOutcome(error=error)
                return None
            outcomes[key] = FieldOutcome(found)
            try:
                data[key] = complete(found)
            except Odd:
                return None
        return data


def plan_of(document: DocumentNode, schema: GraphQLSchema) -> Plan | None:
    """Compile the only operation of a valid document; None if it has what a plan does not carry out."""
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) != 1:
        return None
    try:
        return _Compiler(document, schema).plan(operations[0])
    except Odd:
        return None


class _Compiler:
    def __init__(self, document: DocumentNode, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._completions: dict[tuple[str, ...], Convert] = {}

    def plan(self, operation: OperationDefinitionNode) -> Plan:
        root = self._schema.get_root_type(operation.operation)
        if root is None or operation.directives:
            raise Odd
        variables = {}
        for one in operation.variable_definitions or ():
            if one.default_value is not None or one.directives or not isinstance(one.type, NonNullTypeNode):
                raise Odd
            kind: Any = type_from_ast(self._schema, one.type)
            variables[one.variable.name.value] = _conversion_of(kind)
        fields = [self._root(field, root) for field in self._fields(operation.selection_set, root)]
        return Plan(operation.name.value if operation.name else "", variables, fields)

    def _root(self, node: FieldNode, root: GraphQLObjectType) -> _Root:
        field = root.fields.get(node.name.value)
        if field is None:  # introspection
            raise Odd
        arguments = {}
        for one in node.arguments or ():
            if not isinstance(one.value, VariableNode):
                raise Odd
            arguments[one.name.value] = one.value.name.value
        if any(arg.out_name or _default_of(arg) is not Undefined for arg in field.args.values()):
            raise Odd
        return _Root(_key_of(node), node.name.value, arguments, self._completion_of(field.type, node))

    def _fields(self, selected: SelectionSetNode, kind: GraphQLObjectType) -> Iterator[FieldNode]:
        """The fields of a selection, those of its fragments included; each key once."""
        seen: dict[str, FieldNode] = {}
        for node in self._flat(selected, kind):
            if node.directives:
                raise Odd
            known = seen.setdefault(_key_of(node), node)
            if known is not node and (known.selection_set or known.arguments):
                raise Odd
        return iter(seen.values())

    def _flat(self, selected: SelectionSetNode, kind: GraphQLObjectType) -> Iterator[FieldNode]:
        for node in selected.selections:
            if isinstance(node, FieldNode):
                yield node
                continue
            if node.directives:
                raise Odd
            found: Any = node
            if isinstance(node, FragmentSpreadNode):
                found = self._fragments[node.name.value]
            condition = found.type_condition
            if condition is not None and condition.name.value != kind.name:
                raise Odd
            if not isinstance(found, InlineFragmentNode | FragmentDefinitionNode) or found.directives:
                raise Odd
            yield from self._flat(found.selection_set, kind)

    def _completion_of(self, kind: GraphQLOutputType, node: FieldNode) -> Convert:
        """Returns a value as it is answered. The aliases of one field share it, if they select the same fragments."""
        spreads = node.selection_set.selections if node.selection_set else ()
        names = [one.name.value for one in spreads if isinstance(one, FragmentSpreadNode) and not one.directives]
        if not names or len(names) < len(spreads):
            return self._completed(kind, node)
        known = (str(kind), *names)
        if known not in self._completions:
            self._completions[known] = self._completed(kind, node)
        return self._completions[known]

    def _completed(self, kind: Any, node: FieldNode) -> Convert:
        if is_non_null_type(kind):
            return _required(self._completed(kind.of_type, node))
        if is_list_type(kind):
            return _list_of(self._completed(kind.of_type, node))
        if is_leaf_type(kind):
            return _leaf(kind)
        if not is_object_type(kind) or node.selection_set is None or kind.is_type_of is not None:
            raise Odd
        return _object_of([self._member(one, kind) for one in self._fields(node.selection_set, kind)])

    def _member(self, node: FieldNode, kind: GraphQLObjectType) -> "_Member":
        field = kind.fields.get(node.name.value)
        if field is None or field.args:
            raise Odd
        of_type: Any = field.type.of_type if is_non_null_type(field.type) else field.type
        plain = _PLAIN.get(of_type.name) if is_scalar_type(of_type) else None
        return _Member(_key_of(node), node.name.value, plain, self._completed(field.type, node))


class _Member(NamedTuple):
    key: str
    name: str
    plain: type | None  #: values of this very type are answered as they are
    complete: Convert


def _key_of(node: FieldNode) -> str:
    return (node.alias or node.name).value


def _required(complete: Convert) -> Convert:
    def completed(value: Any) -> Any:
        if (found := complete(value)) is None:
            raise Odd
        return found

    return completed


def _list_of(complete: Convert) -> Convert:
    def completed(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            raise Odd
        return [complete(one) for one in value]

    return completed


def _object_of(members: list[_Member]) -> Convert:
    def completed(record: Any) -> Any:
        if record is None:
            return None
        if not isinstance(record, dict):
            raise Odd
        found = {}
        for key, name, plain, complete in members:
            value = record.get(name)
            found[key] = value if type(value) is plain else complete(value)
        return found

    return completed


def _leaf(kind: Any) -> Convert:
    convert = kind.coerce_output_value if isinstance(kind, GraphQLScalarType) else kind.serialize

    def completed(value: Any) -> Any:
        if value is None:
            return None
        try:
            found = convert(value)
        except Exception:  # noqa: BLE001 - whatever it says, graphql-core says it again
            raise Odd from None
        if found is None or found is Undefined:
            raise Odd
        return found

    return completed


def _conversion_of(kind: GraphQLInputType | Any) -> Convert:
    """Returns a variable's value as resolvers get it."""
    if is_non_null_type(kind):
        return _required(_conversion_of(kind.of_type))
    if is_input_object_type(kind) and not kind.is_one_of:
        return _input_of(kind)
    if not is_scalar_type(kind):
        raise Odd
    return _scalar(kind)


def _input_of(kind: Any) -> Convert:
    if any(field.out_name for field in kind.fields.values()):
        raise Odd
    fields = {
        name: (_conversion_of(field.type), _default_of(field), is_non_null_type(field.type))
        for name, field in kind.fields.items()
    }

    def converted(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict) or not value.keys() <= fields.keys():
            raise Odd
        found = {}
        for name, (convert, default, is_required) in fields.items():
            if name in value:
                found[name] = convert(value[name])
            elif default is not Undefined:
                found[name] = default
            elif is_required:
                raise Odd
        return found

    return converted


def _default_of(one: GraphQLArgument | GraphQLInputField) -> Any:
    return coerce_default_value(one)


def _scalar(kind: GraphQLScalarType) -> Convert:
    plain = _PLAIN.get(kind.name) if kind.name in specified_scalar_types else None

    def converted(value: Any) -> Any:
        if value is None or type(value) is plain:
            return value
        try:
            return kind.coerce_input_value(value)
        except GraphQLError:
            raise Odd from None

    return converted
