import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0033_titles_of_pages"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="cronfiring",
            options={"ordering": ["-id"], "verbose_name": "cron firing", "verbose_name_plural": "cron firings"},
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="entries",
                to="jobs.jobaction",
                verbose_name="action",
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="actor",
            field=models.CharField(
                help_text="user:…, token:…, cron:…, listener, worker:… or scheduler.",
                max_length=120,
                verbose_name="actor",
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="at",
            field=models.DateTimeField(default=django.utils.timezone.now, verbose_name="at"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="attempt",
            field=models.PositiveIntegerField(verbose_name="attempt"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="details",
            field=models.JSONField(
                blank=True,
                help_text="Calls and traceback of the attempt that ended; or where an operator's request came from, and "
                "what it changed: {field: [before, after]}, and whether it may have been applied.",
                null=True,
                verbose_name="details",
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="duration_ms",
            field=models.FloatField(
                blank=True, help_text="Duration of the attempt that ended.", null=True, verbose_name="duration (ms)"
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="error",
            field=models.TextField(blank=True, verbose_name="error"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="job",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="audit_trail",
                to="jobs.job",
                verbose_name="job",
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="now",
            field=models.CharField(max_length=9, verbose_name="after"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="reason",
            field=models.TextField(blank=True, verbose_name="reason"),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="was",
            field=models.CharField(
                blank=True, help_text="Empty when the job was submitted.", max_length=9, verbose_name="before"
            ),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="anchor",
            field=models.CharField(
                help_text="First seen, or the last due time applied.", max_length=32, verbose_name="last applied"
            ),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="entity_id",
            field=models.CharField(max_length=255, verbose_name="entity ID"),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="fire_at",
            field=models.CharField(
                blank=True, help_text="When the next job is submitted.", max_length=32, verbose_name="fires at"
            ),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="interval",
            field=models.DurationField(verbose_name="interval"),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="job_type",
            field=models.CharField(max_length=64, verbose_name="job type"),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="next_due",
            field=models.CharField(
                blank=True, help_text="Empty: never (past the year 9999).", max_length=32, verbose_name="next due"
            ),
        ),
        migrations.AlterField(
            model_name="schedulerow",
            name="payload",
            field=models.JSONField(default=dict, verbose_name="payload"),
        ),
    ]
