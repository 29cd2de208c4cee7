"""The languages of the pages: English, and those whose compiled catalogue lies in locale/."""

from pathlib import Path
from typing import Final

from django.conf.locale import LANG_INFO
from django.utils.translation import to_language

ENGLISH: Final = "en-gb"  #: the language of the source
FOLDER: Final = Path(__file__).resolve().parent.parent / "locale"
_COMPILED: Final = "*/LC_MESSAGES/django.mo"


def languages(folder: Path = FOLDER) -> list[tuple[str, str]]:
    """Return each language's code and its own name, English first: Django's LANGUAGES.

    >>> languages(Path("/nowhere"))
    [('en-gb', 'British English')]
    """
    found = {to_language(catalogue.parent.parent.name) for catalogue in folder.glob(_COMPILED)}
    return [(code, _name_of(code)) for code in (ENGLISH, *sorted(found - {ENGLISH}))]


def _name_of(code: str) -> str:
    known = LANG_INFO.get(code) or LANG_INFO.get(code.partition("-")[0]) or {}
    return str(known.get("name_local", code))
