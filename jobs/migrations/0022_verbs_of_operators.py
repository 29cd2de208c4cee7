from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("jobs", "0021_world_advances")]

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
                    ("acknowledge_alerts", "Can acknowledge and resolve alerts"),
                    ("manage_alerts", "Can manage alert handlers"),
                    ("export_jobs", "Can export jobs"),
                ],
            },
        ),
    ]
