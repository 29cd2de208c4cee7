"""The indexes of two migrations that add columns too: those could not be run again after an interruption."""

from django.db import migrations, models

from scheduler_project.migration_operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("jobs", "0037_newest_last")]
    operations = [
        AddIndexOnline("triggerstep", models.Index(fields=["event_id"], name="step_by_event")),
        AddIndexOnline(
            "auditentry",
            models.Index(
                condition=models.Q(("actor__startswith", "user:"), ("action__isnull", True)),
                fields=["id"],
                name="audit_single_by_people",
            ),
        ),
        AddIndexOnline(
            "auditentry",
            models.Index(
                condition=models.Q(("action__isnull", False)), fields=["action", "id"], name="audit_of_actions"
            ),
        ),
    ]
