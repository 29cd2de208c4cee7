"""An odd item of a list harms no other."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from jobs.errors import JobError, NotFound, TransientError
from jobs.main_api.answers import Answer
from jobs.main_api.errors import read_error
from jobs.main_api.listing import MOST_LOGGED, MOST_UNREADABLE, Listing, read_list, read_one
from jobs.main_api.model import Campaign, Settlement

GOOD = {"id": "c-1", "name": "N", "isActive": True, "currentWorldTime": "1000-01-01T00:00:00Z"}
ODD: list[Any] = [None, 7, "x", [], {}, {"id": "c-2"}, {**GOOD, "id": "c-2", "isActive": "yes"}, {**GOOD, "name": None}]


def parse(items: list[Any], *errors: Any) -> Listing[Campaign]:
    found = read_list("campaigns", "campaigns", Answer({"campaigns": items}, tuple(map(read_error, errors))), Campaign)
    assert isinstance(found, Listing)
    return found


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_item_harms_no_other(odd: Any) -> None:
    """Wherever it is, the others are read, and it is named."""
    found = parse([GOOD, odd, {**GOOD, "id": "c-3"}])

    assert [campaign.id for campaign in found] == ["c-1", "c-3"]
    assert len(found.unreadable) == 1
    with pytest.raises(TransientError):
        found.whole()


def test_an_error_at_an_item_rejects_that_item() -> None:
    """An unreadable clock is not a campaign without a clock."""
    error = {"message": "no", "path": ["campaigns", 1, "currentWorldTime"]}
    found = parse([GOOD, {**GOOD, "id": "c-2", "currentWorldTime": None}], error)

    assert [campaign.id for campaign in found] == ["c-1"]
    assert [one.id for one in found.unreadable] == ["c-2"]


def test_an_error_without_a_path_rejects_items_with_a_null() -> None:
    """It may be about any of them; complete ones are used."""
    found = parse([GOOD, {**GOOD, "id": "c-2", "currentWorldTime": None}], {"message": "no"})

    assert [campaign.id for campaign in found] == ["c-1"]


@pytest.mark.parametrize("value", [None, {}, "x", 3])
def test_a_missing_list_is_an_error(value: Any) -> None:
    """Not an empty list: nothing is concluded from an absence."""
    assert isinstance(read_list("campaigns", "campaigns", Answer({"campaigns": value}), Campaign), JobError)
    assert isinstance(read_list("campaigns", "campaigns", Answer({}), Campaign), JobError)


@pytest.mark.parametrize(
    ("data", "error", "expected"),
    [
        ({"campaign": None}, None, None),
        ({"campaign": GOOD}, None, Campaign),
        ({}, None, TransientError),
        ({"campaign": None}, {"extensions": {"code": "NOT_FOUND"}, "path": ["campaign"]}, NotFound),
        ({"campaign": None}, {"extensions": {"code": "NOT_FOUND"}}, NotFound),
        ({"campaign": None}, {"extensions": {"code": "NOT_FOUND"}, "path": ["campaign", "name"]}, TransientError),
        ({"campaign": None}, {"message": "no"}, TransientError),
        ({}, {"extensions": {"code": "NOT_FOUND"}, "path": ["other"]}, TransientError),
    ],
)
def test_only_clear_answers_mean_gone(data: dict[str, Any], error: Any, expected: Any) -> None:
    """null without an error, or NOT_FOUND for just this field."""
    found = read_one("campaign", "campaign", Answer(data, (read_error(error),) if error else ()), Campaign)

    assert found is None if expected is None else type(found) is expected


def test_errors_without_a_path_leave_two_nulls_open() -> None:
    """Either null may belong to either error."""
    errors = tuple(map(read_error, [{"extensions": {"code": code}} for code in ("NOT_FOUND", "INTERNAL_SERVER_ERROR")]))
    found = [read_one("campaign", alias, Answer({"a0": None, "a1": None}, errors), Campaign) for alias in ("a0", "a1")]

    assert [type(one) for one in found] == [TransientError, TransientError]


#: Paths that name neither a field of the answer nor an item of its list, or cannot be read.
LOST: list[Any] = [
    None,
    [],
    ["data", "it"],
    ["settlement"],
    ["it", "0", "currentWorldTime"],
    ["it", 9, "x"],
    ["it", -1],
    "it",
    "it.0",
    ["it", None],
    ["it", 0.5],
    ["it", True],
    ["it", {}],
    {"0": "it"},
    7,
    True,
    [[]],
]
CODES = ["NOT_FOUND", "BAD_REQUEST", "INTERNAL_SERVER_ERROR", None]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("path", LOST, ids=repr)
def test_an_error_at_an_unknown_path_may_be_about_any_null(path: Any, code: str | None) -> None:
    """No null beside it means gone, or no clock; complete items are read."""
    error = read_error({"message": "no", "path": path, "extensions": {"code": code}})
    vague = {**GOOD, "id": "c-2", "currentWorldTime": None}
    places = path if isinstance(path, list) and path else [""]
    alone = [read_one("it", "it", Answer({"it": value}, (error,)), Campaign) for value in (None, vague)]
    found = read_list("it", "it", Answer({"it": [GOOD, vague, None]}, (error,)), Campaign)

    assert all(isinstance(one, JobError) for one in alone)
    assert not isinstance(alone[0], NotFound) or (code == "NOT_FOUND" and path in (None, []))
    assert isinstance(found, Listing)
    assert [campaign.id for campaign in found] == ["c-1"] or places[0] == "it"
    assert "c-2" not in [campaign.id for campaign in found]


@pytest.mark.parametrize("path", LOST[2:], ids=repr)
@pytest.mark.parametrize("code", CODES)
def test_an_error_at_an_unreadable_path_rejects_no_field(path: Any, code: str | None) -> None:
    """It may lead below the field, which has run then."""
    assert not read_error({"message": "no", "path": path, "extensions": {"code": code}}).refuses("it")


def test_an_item_listed_twice_is_read_once() -> None:
    """The first counts; work on a list ends, however often it names an item."""
    assert [campaign.name for campaign in parse([GOOD, {**GOOD, "name": "M"}, GOOD])] == ["N"]


@pytest.mark.parametrize("count", [MOST_UNREADABLE, 1_600_000])
def test_a_list_of_nulls_is_harmless(count: int) -> None:
    """A few are logged, and a list with too many of them is an error."""
    with capture_logs() as logged:
        found = read_list("campaigns", "campaigns", Answer({"campaigns": [GOOD, *[None] * count]}), Campaign)

    assert len(logged) <= MOST_LOGGED + 1
    assert isinstance(found, Listing if count == MOST_UNREADABLE else TransientError)


TOWN = {"kingdomId": "k", "name": "S", "level": 1, "variables": {}, "version": 1, "archivedAt": None}
GONE = {"message": "Settlement with ID s-1 not found", "extensions": {"code": "INTERNAL_SERVER_ERROR", "status": 404}}
SLOW = {"message": "timed out", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}
WORDS = {"message": "User not found"}


@pytest.mark.parametrize(
    ("errors", "kinds"),
    [
        ([GONE], [Settlement, NotFound]),
        ([SLOW], [Settlement, TransientError]),
        ([WORDS], [Settlement, TransientError]),
        ([{"message": GONE["message"]}], [Settlement, NotFound]),
    ],
    ids=["by status", "unclear", "in words that name nobody", "in words that name it"],
)
def test_a_missing_object_explains_an_error_without_a_path(errors: list[Any], kinds: list[type]) -> None:
    """The others of its batch are read; only a clear answer means gone."""
    answer = Answer({"a0": {**TOWN, "id": "s-0"}, "a1": None}, tuple(map(read_error, errors)))
    found = [read_one("settlement", f"a{n}", answer, Settlement, entity_id=f"s-{n}") for n in (0, 1)]

    assert [type(one) for one in found] == kinds


def test_one_of_two_missing_objects_is_gone() -> None:
    """The error that names it does not speak for the other."""
    answer = Answer({"a0": None, "a1": None}, tuple(map(read_error, (SLOW, GONE))))
    found = [read_one("settlement", f"a{n}", answer, Settlement, entity_id=f"s-{n}") for n in (0, 1)]

    assert [type(one) for one in found] == [TransientError, NotFound]
