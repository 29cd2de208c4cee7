"""What axe-core finds wrong with a page."""

from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

#: WCAG 2.1 A and AA, and what axe calls best practice: landmarks, the order of headings.
RULES: Final = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]},
}
CONTRAST: Final = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}}


def violations(page: Page, rules: dict[str, Any], without: list[str]) -> list[str]:
    """What axe finds wrong, of any impact, with the element; nothing is looked at within the selectors of `without`."""
    if not page.evaluate("'axe' in window"):  # once a page: it is half a megabyte
        page.evaluate(Axe().axe_script)
    excluded = [[one] for one in without if page.locator(one).count()]
    run = "([exclude, rules]) => axe.run({include: [['html']], exclude}, rules).then(found => found.violations)"
    found = page.evaluate(run, [excluded, rules])
    return [f"{v['id']}: {node['html'][:200]}" for v in found for node in v["nodes"][:2]]
