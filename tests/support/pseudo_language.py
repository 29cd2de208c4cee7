"""A language that puts every translated text into brackets, and what on a page stands outside of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from gettext import NullTranslations
from html import unescape
from typing import Final

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils.translation import override, trans_real

from scheduler_project.languages import PerLanguage

OPENS, CLOSES = "⟦", "⟧"
#: Attributes that people read; of the rest of data-*, whatever has words.
READ: Final = frozenset({"title", "aria-label", "aria-description", "placeholder", "alt", "label", "data-label"})
#: Code, times and symbols, and what a reader or a program wrote.
NOT_PROSE: Final = frozenset({"script", "style", "code", "pre", "kbd", "time", "textarea", "template"})
EMPTY: Final = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})
_CONTEXT: Final = "\x04"
_WORD: Final = re.compile("[A-Za-z]{2}")
_TOKEN: Final = re.compile(
    r"""<!--.*?-->|<!doctype[^>]*>|<(/?)([a-z][a-z0-9-]*)((?:[^>"']++|"[^"]*+"|'[^']*+')*+)>""",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE: Final = re.compile(r"""([^\s"'=/]+)(?:="([^"]*)"|='([^']*)')?""")
_NOT_TRANSLATED: Final = re.compile('translate="no"|class="(?:[^"]* )?material-symbols-outlined[ "]')


class Brackets(NullTranslations):
    """Translates into the same text in brackets, padded by a share of its length."""

    def __init__(self, padding: float = 0) -> None:
        super().__init__()
        self._padding = padding

    def to_language(self) -> str:
        return str(settings.LANGUAGE_CODE)

    def gettext(self, message: str) -> str:
        text = message.rpartition(_CONTEXT)[2]
        return f"{OPENS}{text}{_pad(text, self._padding)}{CLOSES}"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


def _pad(text: str, share: float) -> str:
    """Words of Greek letters, which no English text has."""
    length = round(len(re.sub(r"%\(\w+\)[sd]|<[^>]*>", "", text)) * share)
    return "".join(" " if n % 7 == 0 else "ω" for n in range(length))


@contextmanager
def brackets(padding: float = 0) -> Iterator[None]:
    """Let this process speak the language in brackets, threads that look after health included."""
    language = Brackets(padding)
    unchanged = {"LANGUAGE_CODE": settings.LANGUAGE_CODE}  # set again: Django then forgets the language of threads
    with override_settings(**unchanged), pytest.MonkeyPatch.context() as patch:
        patch.setattr(trans_real, "translation", lambda _code: language)
        PerLanguage.forget()
        with override_settings(**unchanged), override(settings.LANGUAGE_CODE):
            yield
    PerLanguage.forget()


class Untranslated:
    """Collects what people read on a page and no brackets hold: texts with letters that are no data."""

    def __init__(self, data: re.Pattern[str]) -> None:
        self.found: list[str] = []
        self._data = data
        self._open: list[tuple[str, int, bool]] = []  # name, brackets when it began, whether its texts are prose
        self._depth = 0

    def feed(self, html: str) -> None:
        """Look at all of a page; html.parser takes as long for it as the service to make it."""
        at = 0
        for token in _TOKEN.finditer(html):
            if token.start() > at:
                self._text(html[at : token.start()])
            at = token.end()
            closes, tag, attributes = token.groups()
            if closes:
                self._end(tag)
            elif tag:
                self._start(tag, attributes)
                if attributes.endswith("/") and tag not in EMPTY:
                    self._end(tag)

    def _start(self, tag: str, attributes: str) -> None:
        """Look at the attributes; of the element's texts when they come."""
        prose = not self._open or self._open[-1][2]
        prose = prose and tag not in NOT_PROSE and not _NOT_TRANSLATED.search(attributes)
        if prose or tag == "textarea":
            given = {name: unescape(one or other) for name, one, other in _ATTRIBUTE.findall(attributes)}
            for name, value in given.items():
                is_button = tag == "input" and given.get("type") in ("submit", "button", "reset") and name == "value"
                if name in READ or is_button or (name.startswith("data-") and " " in value.strip()):
                    self._look(value, f"{tag}[{name}]")
        if tag not in EMPTY:
            self._open.append((tag, self._depth, prose))

    def _end(self, tag: str) -> None:
        """A text that was cut has lost its closing bracket: it ends with its element."""
        if self._open and self._open[-1][0] == tag:
            self._depth = self._open.pop()[1]
            return
        if tag in EMPTY or all(name != tag for name, *_ in self._open):
            return
        while self._open:
            name, self._depth, _ = self._open.pop()
            if name == tag:
                return

    def _text(self, text: str) -> None:
        """Whatever stands outside of brackets."""
        if self._open and self._open[-1][2]:
            self._depth = self._look(unescape(text), self._open[-1][0], self._depth)

    def _look(self, text: str, where: str, depth: int = 0) -> int:
        if not _WORD.search(text) and OPENS not in text and CLOSES not in text:
            return depth
        outside = ""  # with ⟦⟧ for what is translated
        for part in re.split(f"([{OPENS}{CLOSES}])", text):
            depth = max(0, depth + {OPENS: 1, CLOSES: -1}.get(part, 0))
            outside += part if depth == 0 and part != CLOSES else CLOSES
        if _WORD.search(outside) and _WORD.search(left := _without(self._data, outside)):
            self.found.append(f"{where}: {' '.join(left.split())[:120]}")
        return depth


@cache  # pages have the same few thousand texts, and looking for data in one takes a millisecond
def _without(data: re.Pattern[str], text: str) -> str:
    return data.sub("…", re.sub(f"{CLOSES}+", OPENS + CLOSES, text))


def find_untranslated(html: str, data: re.Pattern[str]) -> list[str]:
    """What people read on a page that is neither translated nor data."""
    page = Untranslated(data)
    page.feed(html)
    return list(dict.fromkeys(page.found))
