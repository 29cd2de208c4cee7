from django.db import migrations, models

import jobs.states


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0032_stop_opened_at"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="auditentry",
            options={"ordering": ["id"], "verbose_name": "audit entry", "verbose_name_plural": "audit trail"},
        ),
        migrations.AlterModelOptions(
            name="campaignclock",
            options={"ordering": ["campaign_id"], "verbose_name": "campaign", "verbose_name_plural": "campaigns"},
        ),
        migrations.AlterModelOptions(
            name="crontask",
            options={"ordering": ["name"], "verbose_name": "cron task", "verbose_name_plural": "cron tasks"},
        ),
        migrations.AlterModelOptions(
            name="failuregroup",
            options={"ordering": ["-last_seen"], "verbose_name": "failure", "verbose_name_plural": "failures"},
        ),
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
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.AlterModelOptions(
            name="pause",
            options={
                "default_permissions": ("view",),
                "ordering": ["-id"],
                "verbose_name": "pause",
                "verbose_name_plural": "pauses",
            },
        ),
        migrations.AlterModelOptions(
            name="schedulerow",
            options={
                "ordering": [models.OrderBy(models.F("next_due"))],
                "verbose_name": "schedule",
                "verbose_name_plural": "schedules",
            },
        ),
        migrations.AlterModelOptions(
            name="worldclock",
            options={
                "default_permissions": ("change",),
                "ordering": ["campaign_id"],
                "permissions": [("pause_worldclock", "Can pause and resume world clocks")],
                "verbose_name": "world clock",
                "verbose_name_plural": "world clocks",
            },
        ),
        migrations.AlterField(
            model_name="campaignclock",
            name="is_active",
            field=models.BooleanField(default=True, verbose_name="active"),
        ),
        migrations.AlterField(
            model_name="crontask",
            name="disabled_until",
            field=models.DateTimeField(
                blank=True,
                help_text="Re-enabled at this time. Leave empty to re-enable it manually.",
                null=True,
                verbose_name="disabled until",
            ),
        ),
        migrations.AlterField(
            model_name="crontask",
            name="enabled",
            field=models.BooleanField(default=True, verbose_name="enabled"),
        ),
        migrations.AlterField(
            model_name="crontask",
            name="expression",
            field=models.CharField(
                help_text="Five fields, or six with seconds first.", max_length=120, verbose_name="expression"
            ),
        ),
        migrations.AlterField(
            model_name="crontask",
            name="name",
            field=models.CharField(max_length=80, unique=True, verbose_name="name"),
        ),
        migrations.AlterField(
            model_name="crontask",
            name="payload",
            field=models.JSONField(blank=True, default=dict, verbose_name="payload"),
        ),
        migrations.AlterField(
            model_name="crontask",
            name="priority",
            field=models.PositiveSmallIntegerField(
                choices=[(1, "Low"), (5, "Normal"), (8, "High"), (10, "Critical")],
                default=jobs.states.Priority["NORMAL"],
                verbose_name="priority",
            ),
        ),
        migrations.AlterField(
            model_name="crontask",
            name="time_zone",
            field=models.CharField(default="UTC", max_length=64, verbose_name="time zone"),
        ),
        migrations.AlterField(
            model_name="crontask",
            name="type",
            field=models.CharField(max_length=64, verbose_name="type"),
        ),
        migrations.AlterField(
            model_name="job",
            name="priority",
            field=models.PositiveSmallIntegerField(
                choices=[(1, "Low"), (5, "Normal"), (8, "High"), (10, "Critical")],
                default=jobs.states.Priority["NORMAL"],
                verbose_name="priority",
            ),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="clock",
            field=models.CharField(choices=[("wall", "wall"), ("world", "world")], max_length=5, verbose_name="clock"),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="entity_name",
            field=models.CharField(blank=True, max_length=255, verbose_name="settlement or structure"),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="entity_type",
            field=models.CharField(
                choices=[("Settlement", "Settlement"), ("Structure", "Structure")],
                max_length=10,
                verbose_name="entity type",
            ),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="event_type",
            field=models.CharField(max_length=32, verbose_name="event type"),
        ),
    ]
