import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import jobs.models.job


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0028_schedule_household_clock"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="first_due_at",
            field=models.DateTimeField(
                blank=True,
                help_text="Due time with which it was submitted; empty: by a release that kept none.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="operatoraction",
            name="undo",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What takes it back: resume/7. Empty: nothing.",
                max_length=40,
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="details",
            field=models.JSONField(
                blank=True,
                help_text="Calls and traceback of the attempt that ended; or where an operator's request came from, and what it changed: {field: [before, after]}, and whether it may have been applied.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="JobAction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "key",
                    models.UUIDField(
                        default=jobs.models.job.new_job_id,
                        editable=False,
                        help_text="By which the steps of a bulk action find it.",
                        unique=True,
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("actor", models.CharField(help_text="user:…, token:… or command.", max_length=120)),
                (
                    "verb",
                    models.CharField(
                        help_text="The command: cancel, retry; of an undo, what it took back.", max_length=20
                    ),
                ),
                ("reason", models.TextField(blank=True, help_text="What the operator typed; empty for nothing.")),
                ("selection", models.TextField(blank=True, help_text="The filter of a bulk action, in words.")),
                ("due_at", models.DateTimeField(blank=True, help_text="The new due time, if it set one.", null=True)),
                ("jobs", models.IntegerField(default=0, help_text="Jobs that it moved.")),
                ("skipped", models.IntegerField(default=0, help_text="Jobs that it left as they were.")),
                ("ip", models.CharField(blank=True, max_length=100, verbose_name="IP address")),
                ("request_id", models.CharField(blank=True, max_length=64)),
                (
                    "undoes",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="undone_by",
                        to="jobs.jobaction",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": (),
            },
        ),
        migrations.AddField(
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
            ),
        ),
    ]
