from django.db import migrations, models

from scheduler_project.migration_operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("jobs", "0017_words_of_the_pages")]

    operations = [
        migrations.AddField(
            model_name="schedulerow",
            name="household",
            field=models.CharField(
                "settlement",
                blank=True,
                db_default="",
                default="",
                help_text="its own, if it is one",
                max_length=255,
            ),
        ),
        AddIndexOnline(
            model_name="schedulerow",
            index=models.Index(fields=["household"], name="schedule_by_household"),
        ),
    ]
