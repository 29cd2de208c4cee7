from django.db import migrations, models

from scheduler_project.migration_operations import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("jobs", "0027_event_of_steps")]
    operations = [
        AddIndexOnline("schedulerow", models.Index(fields=["household", "clock"], name="schedule_household_clock")),
        RemoveIndexOnline("schedulerow", "schedule_by_household"),
    ]
