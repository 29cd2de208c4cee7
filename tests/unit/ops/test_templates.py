"""Templates have no text of their own: whatever people read goes through gettext, in every branch."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.pseudo_language import find_untranslated
from tests.support.servers import ROOT

FOLDERS: Final = ("templates", "ops/templates", "monitoring/templates")
TEMPLATES: Final = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.html"))]
#: What a block or a condition puts into a class, and what stands before a value, as in "p95".
NO_TEXT: Final = re.compile(r"\bops-[\w-]+|(?!)")
TRANSLATED: Final = re.compile(r"\{% blocktranslate.*?endblocktranslate %\}", re.DOTALL)
UNSEEN: Final = re.compile(r"\{% comment %\}.*?\{% endcomment %\}|\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
#: A text that a filter puts in: |default:"none" instead of |default:_("none"), and all plurals.
FILTERED: Final = re.compile(r"""\|(?:default|default_if_none):["'](?!ops-)[^"']*[A-Za-z]{2}[^"']*["']|\|pluralize""")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_of_a_template_is_translated(path: Path) -> None:
    source = path.read_text()
    found = find_untranslated(UNSEEN.sub("", TRANSLATED.sub("⟦⟧", source)), NO_TEXT)

    assert found + FILTERED.findall(source) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_of_translations_are_trimmed(path: Path) -> None:
    """Otherwise the indentation of the template is part of what translators translate."""
    assert re.findall(r"\{% blocktranslate (?!trimmed)", path.read_text()) == []
