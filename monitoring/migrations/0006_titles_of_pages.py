import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0005_event_questions"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="alert",
            options={"ordering": ["-id"], "verbose_name": "alert", "verbose_name_plural": "alerts"},
        ),
        migrations.AlterModelOptions(
            name="alerthandler",
            options={"ordering": ["name"], "verbose_name": "alert handler", "verbose_name_plural": "alert handlers"},
        ),
        migrations.AlterModelOptions(
            name="delivery",
            options={"ordering": ["-id"], "verbose_name": "delivery", "verbose_name_plural": "deliveries"},
        ),
        migrations.AlterField(
            model_name="alert",
            name="count",
            field=models.PositiveIntegerField(default=0, help_text="Occurrences so far.", verbose_name="count"),
        ),
        migrations.AlterField(
            model_name="alert",
            name="kind",
            field=models.CharField(
                choices=[
                    ("job_dead", "Dead letter"),
                    ("dead_letters_grow", "Dead letters increasing"),
                    ("effect_unknown", "Unknown effect outcome"),
                    ("breaker_open", "Circuit breaker open"),
                    ("credential_refused", "Service token rejected"),
                    ("queue_lag", "Queue delay"),
                    ("no_worker", "No worker"),
                    ("no_scheduler", "No scheduler"),
                    ("no_subscriber", "Listener down"),
                    ("cron_failed", "Cron task failed"),
                    ("cron_missed", "Cron run missed"),
                    ("redis_gone", "Redis unreachable"),
                    ("database_gone", "Database unreachable"),
                    ("main_api", "Main API"),
                    ("event_question", "Question about an event"),
                    ("code", "Custom"),
                ],
                max_length=32,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="alert",
            name="severity",
            field=models.PositiveSmallIntegerField(
                choices=[(10, "info"), (20, "warning"), (30, "critical")], verbose_name="severity"
            ),
        ),
        migrations.AlterField(
            model_name="alert",
            name="title",
            field=models.CharField(max_length=200, verbose_name="title"),
        ),
        migrations.AlterField(
            model_name="alerthandler",
            name="alert_kinds",
            field=models.JSONField(
                blank=True, default=list, help_text="Leave empty for all kinds.", verbose_name="kinds of alerts"
            ),
        ),
        migrations.AlterField(
            model_name="alerthandler",
            name="campaigns",
            field=models.JSONField(
                blank=True, default=list, help_text="IDs. Leave empty for all campaigns.", verbose_name="campaigns"
            ),
        ),
        migrations.AlterField(
            model_name="alerthandler",
            name="enabled",
            field=models.BooleanField(default=True, verbose_name="enabled"),
        ),
        migrations.AlterField(
            model_name="alerthandler",
            name="job_types",
            field=models.JSONField(
                blank=True, default=list, help_text="Leave empty for all types.", verbose_name="job types"
            ),
        ),
        migrations.AlterField(
            model_name="alerthandler",
            name="minimum_severity",
            field=models.PositiveSmallIntegerField(
                choices=[(10, "info"), (20, "warning"), (30, "critical")], default=20, verbose_name="minimum severity"
            ),
        ),
        migrations.AlterField(
            model_name="alerthandler",
            name="name",
            field=models.CharField(max_length=80, unique=True, verbose_name="name"),
        ),
        migrations.AlterField(
            model_name="alerthandler",
            name="time_zone",
            field=models.CharField(default="UTC", max_length=64, verbose_name="time zone"),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="alert",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="monitoring.alert",
                verbose_name="alert",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="answer",
            field=models.TextField(blank=True, verbose_name="answer"),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="attempts",
            field=models.PositiveSmallIntegerField(default=0, verbose_name="attempts"),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="handler",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="deliveries",
                to="monitoring.alerthandler",
                verbose_name="handler",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="message",
            field=models.JSONField(default=dict, verbose_name="message"),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="next_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, help_text="Time of the next attempt.", verbose_name="next attempt"
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="sent_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="sent at"),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="status",
            field=models.CharField(
                choices=[("pending", "pending"), ("sent", "sent"), ("failed", "failed")],
                default="pending",
                max_length=7,
                verbose_name="status",
            ),
        ),
    ]
