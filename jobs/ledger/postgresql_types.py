"""The types of the columns that PostgreSQL reads from the JSON of new jobs and schedule rows."""

from typing import Final

#: The columns that are not text.
TYPES: Final = {
    "id": "uuid",
    "payload": "jsonb",
    "priority": "int",
    "attempt": "int",
    "failures": "int",
    "due_at": "timestamptz",
    "first_due_at": "timestamptz",
    "created_at": "timestamptz",
    "moved_at": "timestamptz",
    "occurrences": "int",
    "interval": "interval",
    "payload_version": "int",
    "updated_at": "timestamptz",
}
