from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0035_unknown_steps"),
    ]

    operations = [
        migrations.AddField(
            model_name="schedulerow",
            name="world_anchor",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of a construction whose campaign shows world time no longer.",
                max_length=32,
                verbose_name="began at world time",
            ),
        ),
    ]
