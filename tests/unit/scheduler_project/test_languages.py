"""Catalogues in locale/ are languages of the service."""

from pathlib import Path

import pytest
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_script_prefix
from django.utils.translation import gettext, override, trans_real
from marshmallow import ValidationError

from scheduler_project import variable_checks
from scheduler_project.languages import FOLDER, PerLanguage, activate, languages
from tests.support.catalogues import needs_gettext, stale
from tests.support.servers import ROOT

#: Enough of a catalogue for msgfmt.
PO = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Jobs"
msgstr "{}"
"""


def a_catalogue(folder: Path, name: str, suffix: str = ".mo") -> Path:
    """A file where a catalogue has it."""
    path = (folder / name / "LC_MESSAGES" / "django").with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_compiled_catalogues_are_languages(tmp_path: Path) -> None:
    """By their own names where Django knows these; English is there anyway, and first."""
    for name in ("pt_BR", "de", "en_GB", "de_AT", "xx"):
        a_catalogue(tmp_path, name)
    a_catalogue(tmp_path, "fr", ".po")  # not compiled

    assert languages(tmp_path) == [
        ("en-gb", "British English"),
        ("de", "Deutsch"),
        ("de-at", "Deutsch"),
        ("pt-br", "Português Brasileiro"),
        ("xx", "xx"),
    ]


def test_a_language_without_a_catalogue_is_refused() -> None:
    """With the languages that there are, and the file that is missing."""
    with pytest.raises(ValidationError, match=r"one of en-gb.*locale/de/LC_MESSAGES/django\.mo"):
        variable_checks.language("xx")


@needs_gettext
def test_catalogues_are_compiled(tmp_path: Path) -> None:
    """Images and `make up` have no gettext: the compiled file is committed, and says the same."""
    source = a_catalogue(tmp_path, "de", ".po")
    source.write_text(PO.format("Aufgaben"))
    missing = stale(tmp_path, tmp_path)
    source.with_suffix(".mo").write_bytes(b"")

    assert missing == [source]
    assert stale(FOLDER, tmp_path) == []


def test_every_language_has_its_formats() -> None:
    """Times to the second, in an order that sorts, as in English."""
    formats = {path.parent.name for path in (ROOT / "scheduler_project" / "formats").glob("*/formats.py")}

    assert {"en_GB"} | {path.parent.parent.name for path in FOLDER.glob("*/LC_MESSAGES/django.mo")} <= formats


def test_a_text_is_looked_up_once() -> None:
    """In all catalogues, which takes longer than to draw what stands around it."""
    serve = activate(lambda _: HttpResponse(gettext("said by nobody else")))
    request = HttpRequest()
    pages = [serve(request).content for _ in range(3)]
    remembered = vars(trans_real.translation("en-gb"))["gettext"].cache_info()

    assert set(pages) == {b"said by nobody else"}
    assert remembered.hits >= 2


def test_what_all_pages_have_is_made_once_for_each_language() -> None:
    """A proxy may have put its own prefix before the URLs of one page."""
    made: list[str] = []
    kept = PerLanguage[int]()

    def make() -> int:
        made.append("")
        return len(made)

    with override_script_prefix("/"):
        english = [kept.get(make), kept.get(make)]
        with override("de"):
            german = kept.get(make)
        with override_script_prefix("/elsewhere/"):
            elsewhere = [kept.get(make), kept.get(make)]
        again = kept.get(make)
        PerLanguage.forget()
        anew = kept.get(make)

    assert (english, german, elsewhere, again, anew) == ([1, 1], 2, [3, 4], 1, 5)
