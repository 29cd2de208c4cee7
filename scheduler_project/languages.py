"""The languages of the pages: English, and those whose compiled catalogue lies in locale/."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

from django.conf import settings
from django.conf.locale import LANG_INFO
from django.http import HttpRequest, HttpResponse
from django.urls import get_script_prefix
from django.utils import translation
from django.utils.translation import get_language, to_language, trans_real

ENGLISH: Final = "en-gb"  #: the language of the source
FOLDER: Final = Path(__file__).resolve().parent.parent / "locale"
_REMEMBERED: Final = 10_000  #: texts of a web process; there are some thousand
_COMPILED: Final = "*/LC_MESSAGES/django.mo"
T = TypeVar("T")


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


def activate(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Django middleware: activates LANGUAGE_CODE while the request is served, and makes gettext quick.

    A page translates hundreds of texts. Of each that no catalogue has, as all English ones, Django asks the catalogues
    of every app, and those of plain English after them; and a thread that has activated no language finds that out by
    an exception for each text.
    """
    language = trans_real.translation(settings.LANGUAGE_CODE)
    vars(language).setdefault("gettext", lru_cache(_REMEMBERED)(language.gettext))

    def serve(request: HttpRequest) -> HttpResponse:
        with translation.override(settings.LANGUAGE_CODE):
            return get_response(request)

    return serve


class PerLanguage(Generic[T]):
    """Keeps what every page of a language has: texts, and URLs, which begin with URL_PREFIX."""

    _edition: ClassVar = 0

    def __init__(self) -> None:
        self._made: dict[tuple[str | None, int], T] = {}

    def get(self, make: Callable[[], T]) -> T:
        """Return what `make` has made once."""
        if get_script_prefix() != f"{settings.URL_PREFIX}/":
            return make()  # a proxy's own prefix, or a thread without any
        key = get_language(), self._edition
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @classmethod
    def forget(cls) -> None:
        """Make all of it again: a language says something else now."""
        cls._edition += 1
