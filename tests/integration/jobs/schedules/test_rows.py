"""Rows of schedules that several processes write."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from jobs.models import ScheduleRow
from jobs.schedules import rows
from tests.support.servers import wait_until

HOUR = timedelta(hours=1)


def row(entity_id: str) -> ScheduleRow:
    return ScheduleRow(campaign_id="c", entity_type="Settlement", entity_id=entity_id, event_type="E", interval=HOUR)


def count_waiting() -> int:
    """How many transactions wait for another one's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer at a time")
def test_two_who_add_the_same_rows_do_not_lock_each_other() -> None:
    """As two recalculations of a campaign do."""

    def add_both() -> None:
        try:
            rows.add([row("z"), row("a")])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            rows.add([row("a")])
            other = threads.submit(add_both)
            wait_until(count_waiting)
            rows.add([row("z")])
        other.result(60)

    assert sorted(ScheduleRow.objects.values_list("entity_id", flat=True)) == ["a", "z"]
