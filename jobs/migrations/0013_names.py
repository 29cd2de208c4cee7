from django.db import migrations, models

NAMES = {
    "add_operatoract": "add_operatoraction",
    "change_operatoract": "change_operatoraction",
    "delete_operatoract": "delete_operatoraction",
    "view_operatoract": "view_operatoraction",
}


def rename_permissions(apps, schema_editor):
    """Groups keep what they were given: Django renames the content type, but no permission."""
    permission = apps.get_model("auth", "Permission")
    for old, new in NAMES.items():
        permission.objects.filter(content_type__app_label="jobs", codename=old).update(codename=new)


class Migration(migrations.Migration):
    """Names in Python only: tables and columns keep theirs, so that the release before goes on to work."""

    dependencies = [
        ("jobs", "0012_texts_as_long_as_the_contract_allows"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.AlterModelTable("operatoract", "jobs_operatoract"),
        migrations.RenameModel("OperatorAct", "OperatorAction"),
        migrations.AlterField(
            "operatoraction",
            "thing",
            models.CharField(
                db_column="thing", help_text="what it was done to, in words: cron task nightly", max_length=400
            ),
        ),
        migrations.RenameField("operatoraction", "thing", "target"),
        migrations.AlterField(
            "failuregroup", "place", models.CharField(blank=True, db_column="place", max_length=200)
        ),
        migrations.RenameField("failuregroup", "place", "culprit"),
        migrations.RunPython(rename_permissions, migrations.RunPython.noop),
    ]
