from django.db import migrations, models

from scheduler_project.migration_operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("jobs", "0026_event_triggers")]

    operations = [
        migrations.AddField(
            model_name="triggerstep",
            name="event_id",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        AddIndexOnline(
            model_name="triggerstep",
            index=models.Index(fields=["event_id"], name="step_by_event"),
        ),
    ]
