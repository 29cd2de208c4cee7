"""On SQLite the indexes by campaign and type are built anew in ascending order; on PostgreSQL nothing changes."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from jobs.models.indexes import NewestLast
from scheduler_project.migration_operations import RunInBatches

COLUMNS = {"job_by_campaign": "campaign_id", "job_by_type": "type"}


def build_one_anew(_apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> int:
    """Return how many were descending: one, or none."""
    if schema_editor.connection.vendor != "sqlite":
        return 0
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%\"id\" DESC)'")
        name = next((name for (name,) in cursor.fetchall() if name in COLUMNS), None)
        if name is None:
            return 0
        cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(f'CREATE INDEX "{name}" ON jobs_job ("{COLUMNS[name]}", "id")')
    return 1


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("jobs", "0036_world_anchor")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[RunInBatches(build_one_anew)],
            state_operations=[
                operation
                for name, column in COLUMNS.items()
                for operation in (
                    migrations.RemoveIndex("job", name),
                    migrations.AddIndex("job", NewestLast(fields=[column, "-id"], name=name)),
                )
            ],
        )
    ]
