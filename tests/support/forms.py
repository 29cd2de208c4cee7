"""The form of a page, filled in as a browser would send it."""

from html.parser import HTMLParser


class _Fields(HTMLParser):
    """Collects the fields of the POST form that has a field of a name."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, list[str]]] = []
        self._select = self._textarea = ""
        self._is_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms and their fields; a disabled field is not sent."""
        given = {name: value or "" for name, value in attrs}
        name, kind = given.get("name", ""), given.get("type", "text")
        if tag == "form":
            self._is_open = given.get("method", "").lower() == "post"
            self.forms += [{}] if self._is_open else []
        elif not self._is_open or "disabled" in given:
            return
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in given:
            self._add(self._select, given.get("value", ""))
        elif tag == "textarea":
            self._textarea = name
            self._add(name, "")
        elif tag == "input" and kind != "submit" and (kind not in ("checkbox", "radio") or "checked" in given):
            self._add(name, given.get("value", "on" if kind == "checkbox" else ""))

    def handle_endtag(self, tag: str) -> None:
        """Leave a form, a list of choices or a text."""
        self._is_open = self._is_open and tag != "form"
        self._select = "" if tag == "select" else self._select
        self._textarea = "" if tag == "textarea" else self._textarea

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.forms[-1][self._textarea][-1] += data

    def _add(self, name: str, value: str) -> None:
        if name and name != "csrfmiddlewaretoken":
            self.forms[-1].setdefault(name, []).append(value)


def fill_in(page: str, having: str, **typed: str) -> dict[str, list[str]]:
    """What the form of the page that has the field `having` would send, after somebody has typed."""
    parser = _Fields()
    parser.feed(page)
    (found,) = [form for form in parser.forms if having in form]
    texts = {name: [value.removeprefix("\n") for value in found[name]] for name in found}
    return {**texts, **{name: [value] for name, value in typed.items()}}
