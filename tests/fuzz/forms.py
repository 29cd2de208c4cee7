"""The forms of a page, as a browser would send them."""

from html.parser import HTMLParser


class Forms(HTMLParser):
    """Collects each POST form's address and fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._in_form = False
        self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms and their fields."""
        attributes = {name: value or "" for name, value in attrs}
        name = attributes.get("name", "")
        if tag == "form":
            self._in_form = attributes.get("method", "").lower() == "post"
            if self._in_form:
                self.found.append((attributes.get("action", ""), {}))
        elif not self._in_form:
            return
        elif tag == "option" and self._select and "selected" in attributes:
            self.found[-1][1][self._select] = attributes.get("value", "")
        elif tag in ("input", "textarea", "select", "button") and name and name != "csrfmiddlewaretoken":
            self._select = name if tag == "select" else ""
            if attributes.get("type") not in ("checkbox", "radio") or "checked" in attributes:
                self.found[-1][1].setdefault(name, attributes.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        """Leave a form or a list of choices."""
        if tag == "form":
            self._in_form = False
        elif tag == "select":
            self._select = ""
