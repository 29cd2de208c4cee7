"""Plans answer what graphql-core answers."""

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.main_api import operations
from sandbox.contract import Record, Refusal
from sandbox.dialect import Dialect
from sandbox.schema import Service
from sandbox.world import World

#: A second operation, which no plan carries out: then graphql-core executes the first.
OTHER: Final = "\nquery other { campaigns { id } }"
IDS: Final = ["settlement-1-1-1", "settlement-1-1-2", "structure-1-1-1-1", "event-1-1", "campaign-1", "none", ""]
ODD: Final[list[Any]] = [None, 1.5, "1", 2**40, True, [], {}]
MORE: Final = ("level", "name", "variables", "worldTime", "campaignId", "to", "effectId", "x")
values = st.sampled_from([*ODD, 1, 2, {"a": 1}, "1001-06-02T12:00:00Z", "campaign-1-main", *IDS])


def answers(
    document: str, variables: Any, changes: Mapping[str, Any] = {}, refused: Any = ""
) -> list[tuple[Record, Record, Counter[str]]]:
    """The answer by a plan and the one by graphql-core, each with the world afterwards and the calls of root fields."""
    found = []
    for text in (document, document + OTHER):
        world, calls = World(), Counter[str]()
        for record in (*world.settlements.values(), *world.structures.values()):
            record.update(copy.deepcopy(changes))

        def before(name: str, args: dict[str, Any], calls: Counter[str] = calls) -> None:
            calls[name] += 1
            if refused in args.values():
                raise Refusal("FORBIDDEN", f"{name} is refused")

        name = document.split("(", maxsplit=1)[0].split()[1]
        answer = Service(world, before, Dialect()).execute(text, copy.deepcopy(variables), name)
        found.append((copy.deepcopy(answer), world.dump(), calls))
    return found


@given(name=st.sampled_from([n for n in operations.names() if "(" in operations.text(n)]), data=st.data())
def test_a_plan_answers_as_graphql_core_does(name: str, data: st.DataObject) -> None:
    """Whatever a request has as variables, whatever records hold, and whichever fields are refused."""
    size = data.draw(st.integers(1, 3))
    document = operations.text(name, size)
    declared = document[document.index("(") + 1 : document.index(")")]
    variables = {}
    for one in declared.split(", "):
        variable, kind = one.strip("$").split(": ")
        if kind.startswith(("Update", "Advance", "Execute")):
            fields = {"branchId": st.just("campaign-1-main"), "expectedVersion": st.sampled_from([1, 2, *ODD])}
            more = dict.fromkeys(
                ("level", "name", "variables", "worldTime", "campaignId", "to", "effectId", "x"), values
            )
            variables[variable] = data.draw(st.fixed_dictionaries(fields, optional=more))
        else:
            variables[variable] = data.draw(st.sampled_from([*IDS, 7, None]))
    changes = data.draw(
        st.dictionaries(st.sampled_from(["name", "level", "version", "archivedAt"]), values, max_size=1)
    )
    by_plan, by_graphql_core = answers(document, variables, changes, data.draw(st.sampled_from(["-", *IDS])))

    assert by_plan == by_graphql_core


@pytest.mark.parametrize(
    "document",
    [
        'query a($id: ID!) { settlement(id: $id) { id ... on Settlement { level id } } b: structure(id: "x") { id } }',
        "query a($id: ID!) { settlement(id: $id) { __typename ...f } } fragment f on Settlement { id version }",
        "query a($id: ID!) { settlement(id: $id) { id name @skip(if: true) } }",
        "query a($id: ID!) { settlement(id: $id) { id } settlement(id: $id) { name } __typename }",
        'query a($id: ID!, $n: ID = "1") { settlement(id: $id) { id } structure(id: $n) { id } }',
        "query a($id: ID!) { settlement(id: $id) { nothing } }",
        "query a($id: ID!) { settlement(id: $id { id } }",
    ],
)
def test_what_a_plan_does_not_carry_out_is_left_to_graphql_core(document: str) -> None:
    by_plan, by_graphql_core = answers(document, {"id": "settlement-1-1-1"})

    assert by_plan[0].keys() == by_graphql_core[0].keys()
    assert by_plan[0].get("data") == by_graphql_core[0].get("data")
