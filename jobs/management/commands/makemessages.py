"""Django's makemessages, without the messages that nobody translates."""

from typing import Any, Final

from django.core.management.commands import makemessages

#: Texts for developers, other people's texts, and what is made while the service runs.
_NOT_TRANSLATED: Final = (".venv/*", "benchmarks/*", "docs/*", "sandbox/*", "staticfiles/*", "tests/*", "var/*")


class Command(makemessages.Command):
    """`manage.py makemessages --locale de`, run in the project's folder, writes locale/de/LC_MESSAGES/django.po."""

    def handle(self, *args: Any, **options: Any) -> None:
        options["ignore_patterns"] = [*options["ignore_patterns"], *_NOT_TRANSLATED]
        options["add_location"] = options["add_location"] or "file"  # line numbers change with every commit
        super().handle(*args, **options)
