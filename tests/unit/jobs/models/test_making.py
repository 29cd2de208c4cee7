"""New rows made by position are those that Django makes by name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Model

from jobs.models import Job, ScheduleRow
from jobs.models.making import make, make_from

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (
            Job,
            {"type": "T", "campaign_id": "c", "payload": {"a": 1}, "due_at": NOW, "created_at": NOW, "moved_at": NOW},
        ),
        (Job, {"created_at": NOW, "moved_at": NOW, "interval": timedelta(hours=1)}),
        (ScheduleRow, {"campaign_id": "c", "anchor": "", "payload": {}}),
        (ScheduleRow, {}),
    ],
)
def test_makes_the_row_that_keywords_make(model: type[Model], values: dict[str, Any]) -> None:
    made, expected = vars(make(model, **values)), vars(model(**values))
    if model is Job:
        assert made.pop("id") != expected.pop("id")
    for row in (made, expected):
        state = row.pop("_state")
        assert (state.adding, state.db) == (True, None)
    assert made == expected


def test_rows_share_no_value() -> None:
    make(Job).payload["a"] = 1
    assert make(Job).payload == {}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(TypeError, match="Job has no column colour"):
        make(Job, colour="red")


@pytest.mark.django_db
@pytest.mark.parametrize("deferred", [(), ("payload", "updated_at")])
def test_a_row_is_read_as_django_reads_it(deferred: tuple[str, ...]) -> None:
    make(ScheduleRow, campaign_id="c", entity_id="s", anchor="a", interval=timedelta(hours=1)).save()
    names = [field.attname for field in ScheduleRow._meta.concrete_fields if field.attname not in deferred]
    values = ScheduleRow.objects.values_list(*names).get()

    read = make_from(ScheduleRow, "default", names, values)
    expected = super(ScheduleRow, ScheduleRow).from_db("default", names, values)

    for row in (read, expected):
        state = vars(row)["_state"]
        assert (state.adding, state.db) == (False, "default")
    assert {name: getattr(read, name) for name in names} == {name: getattr(expected, name) for name in names}
    assert read.get_deferred_fields() == expected.get_deferred_fields() == set(deferred)
    assert read == ScheduleRow.objects.get()
