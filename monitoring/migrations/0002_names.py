import django.utils.timezone
from django.db import migrations, models


def rename_permissions(apps, schema_editor):
    """Groups keep what they were given: Django renames the content type, but no permission."""
    permission = apps.get_model("auth", "Permission")
    for verb in ("add", "change", "delete", "view"):
        old = permission.objects.filter(content_type__app_label="monitoring", codename=f"{verb}_seendeath")
        old.update(codename=f"{verb}_seendeadletter")


class Migration(migrations.Migration):
    """Names in Python only: tables and columns keep theirs, so that the release before goes on to work."""

    dependencies = [
        ("monitoring", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.AlterModelTable("seendeath", "monitoring_seendeath"),
        migrations.RenameModel("SeenDeath", "SeenDeadLetter"),
        migrations.AlterField(
            "monitorstate",
            "deaths_until",
            models.DateTimeField(
                db_column="deaths_until",
                default=django.utils.timezone.now,
                help_text="dead letters up to then are counted",
            ),
        ),
        migrations.RenameField("monitorstate", "deaths_until", "dead_letters_until"),
        migrations.AlterField(
            "monitorstate",
            "cron",
            models.JSONField(default=dict, help_text="by cron task: the run that is expected next"),
        ),
        migrations.AlterField("notice", "told_at", models.DateTimeField(db_column="told_at", null=True)),
        migrations.RenameField("notice", "told_at", "notified_at"),
        migrations.AlterField(
            "notice", "unsent", models.PositiveIntegerField(default=0, help_text="occurrences not sent yet")
        ),
        migrations.AlterField(
            "notice",
            "thinks_open",
            models.BooleanField(default=False, help_text="the alert was sent, its resolution was not"),
        ),
        migrations.AlterField(
            "delivery",
            "next_at",
            models.DateTimeField(default=django.utils.timezone.now, help_text="time of the next attempt"),
        ),
        migrations.RunPython(rename_permissions, migrations.RunPython.noop),
    ]
