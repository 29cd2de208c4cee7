"""Times, zones and cron expressions are parsed the same everywhere."""

from datetime import UTC, datetime

import pytest

from jobs.errors import InvalidJob
from jobs.registry import type_named
from scheduler_project.cron_expression import fires
from scheduler_project.moments import read_moment, read_zone

AT = datetime(2026, 12, 7, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-07T10:00Z",
        "2026-12-07T10:00:00Z",
        "2026-12-07T10:00:00.000Z",
        "2026-12-07T12:00+02:00",
        "20261207T100000Z",
        "2026-12-07 10:00:00+00:00",
        "2026-12-07T10:00:00.0000001Z",
    ],
)
def test_every_field_accepts_the_same_times(text: str) -> None:
    """A job's due time and the time in its payload."""
    payload = type_named("DEFERRED_EFFECT").parse({"effectId": "e", "executeAt": text})

    assert (read_moment(text), payload.due_at()) == (AT, AT)


@pytest.mark.parametrize(
    "text", ["2026-12-07T10:00", "2026-12-07", "soon", "", "10:00Z", "2026-13-07T10:00Z", 5, None, []]
)
def test_no_field_accepts_other_times(text: object) -> None:
    """Each reports it under its name."""
    with pytest.raises(ValueError, match=r"ISO 8601 time|has no offset"):
        read_moment(text)
    with pytest.raises(InvalidJob) as refused:
        type_named("DEFERRED_EFFECT").parse({"effectId": "e", "executeAt": text})
    assert refused.value.field == "payload.executeAt"


@pytest.mark.parametrize(
    "name",
    [
        "Europe",
        "America/Argentina",
        "",
        "/etc/passwd",
        "../UTC",
        "Mars/Base",
        "UTC\0",
        "x" * 5000,
        "localtime",
        "posixrules",
        "Factory",
        "right/UTC",
        "posix/Europe/Berlin",
        "zone.tab",
        "utc",
        "+01:00",
        "UTC\n",
    ],
)
def test_unknown_time_zones_are_rejected(name: str) -> None:
    """Folders of zones too."""
    with pytest.raises(ValueError, match="there is no time zone"):
        read_zone(name)


@pytest.mark.parametrize(
    "expression",
    [
        "R R * * *",
        "r * * * *",
        "R(0-10) * * * *",
        "1,R * * * *",
        "*/61 * * * *",
        "*/60 * * * *",
        "0/70 * * * *",
        "1-5/70 * * * *",
        "* */24 * * *",
        "0 0 */31 * *",
        "0 0 * */12 *",
        "0 0 * * */7",
        "*/60 * * * * *",
        "*/0 * * * *",
    ],
)
def test_meaningless_cron_expressions_are_rejected(expression: str) -> None:
    """Random values, and steps beyond a field's range."""
    assert not fires(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "*/5 * * * *",
        "0 * * * *",
        "*/59 * * * *",
        "0 0 * mar,apr fri",
        "0 0 L * *",
        "0 0 * * sun#2",
        "*/30 * * * * *",
        "0 */23 * * *",
        "0 0 1-15/7 * *",
    ],
)
def test_meaningful_cron_expressions_are_accepted(expression: str) -> None:
    """Names with an R, the last day of the month, steps within the range."""
    assert fires(expression)
