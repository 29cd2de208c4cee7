"""What jobs died of before, and how long they had waited, as far as the database still knows it."""

from collections import Counter

from django.db import migrations
from django.db.models import F

from jobs.migrations._frozen import BOUNDS_MS, failure_of

BATCH = 1000


def group_dead_letters(apps, schema_editor):
    """Give each dead letter its key, and each failure its group and hours."""
    Job = apps.get_model("jobs", "Job")
    FailureGroup = apps.get_model("jobs", "FailureGroup")
    FailureHour = apps.get_model("jobs", "FailureHour")
    seen, hours = {}, Counter()
    dead = Job.objects.filter(state="DEAD", failure_key="")
    while batch := list(dead.only("id", "error", "traceback", "moved_at", "finished_at")[:BATCH]):
        for job in batch:
            failure = failure_of(job.error, job.traceback)
            job.failure_key, at = failure.key, job.finished_at or job.moved_at
            _, first, last = seen.get(failure.key, (failure, at, at))
            seen[failure.key] = failure, min(first, at), max(last, at)
            hours[failure.key, at.replace(minute=0, second=0, microsecond=0)] += 1
        Job.objects.bulk_update(batch, ["failure_key"], batch_size=200)
    FailureGroup.objects.bulk_create(
        [
            FailureGroup(
                key=key, error=f.error, message=f.message, place=f.place, first_seen=first, last_seen=last,
                note="", acknowledged_by="",
            )
            for key, (f, first, last) in seen.items()
        ]
    )
    FailureHour.objects.bulk_create([FailureHour(group_id=key, hour=hour, jobs=n) for (key, hour), n in hours.items()])


def place_waits(apps, schema_editor):
    """Of minutes before only the mean wait is known: all their jobs count as having waited so long."""
    OutcomeMinute = apps.get_model("jobs", "OutcomeMinute")
    below = -1
    for bound in BOUNDS_MS:
        rows = OutcomeMinute.objects.filter(jobs__gt=0, wait_ms__gt=F("jobs") * below, wait_ms__lte=F("jobs") * bound)
        rows.update(**{f"waited_{bound}": F("jobs")})
        below = bound


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_failures_and_waits")]
    operations = [
        migrations.RunPython(group_dead_letters, migrations.RunPython.noop),
        migrations.RunPython(place_waits, migrations.RunPython.noop),
    ]
