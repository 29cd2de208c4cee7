from django.db import migrations, models


def mark_unknown_outcomes(apps, schema_editor):
    """Dead letters of before, whose audit entry says that their outcome is unknown."""
    job, entry = apps.get_model("jobs", "Job"), apps.get_model("jobs", "AuditEntry")
    entries = entry.objects.filter(now="DEAD", reason__startswith="outcome unknown, not sent again")
    ids = list(entries.values_list("job_id", flat=True))
    for start in range(0, len(ids), 500):
        job.objects.filter(state="DEAD", id__in=ids[start : start + 500]).update(may_have_been_applied=True)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_indexes_of_one_state")]

    operations = [
        migrations.AlterModelOptions(
            name="job",
            options={
                "ordering": ["-id"],
                "permissions": [
                    ("retry_job", "Can retry jobs"),
                    ("cancel_job", "Can cancel jobs"),
                    ("discard_job", "Can discard dead letters"),
                    ("reschedule_job", "Can reschedule jobs"),
                    ("run_now_job", "Can run jobs now"),
                    ("pause_jobs", "Can pause and resume queues, types and campaigns"),
                    ("control_breaker", "Can open and close the circuit breaker"),
                    ("manage_alerts", "Can manage alerts"),
                ],
            },
        ),
        migrations.AddField(
            model_name="job",
            name="sending_attempt",
            field=models.PositiveIntegerField(
                blank=True, help_text="of an attempt that runs: 0 before it sends, then its number; empty: unknown", null=True
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="may_have_been_applied",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="an attempt ended without a clear answer whether its work was done",
            ),
        ),
        migrations.RunPython(mark_unknown_outcomes, migrations.RunPython.noop),
    ]
