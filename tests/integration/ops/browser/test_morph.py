"""What stays of a part of a page when it changes into what the server sent anew."""

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import IN_BROWSER
from tests.support.servers import ROOT

pytestmark = IN_BROWSER
MORPH: Final = ROOT / "ops" / "static" / "ops" / "morph.js"
#: The part, what somebody does in it, what the server sends, and what must hold then.
CASES: Final = {
    "text that was typed, when something comes before it": (
        "<p>old</p><input name=reason>",
        "part.querySelector('input').value = 'typed'",
        "<p>a</p><p>new</p><input name=reason value=''>",
        "part.querySelector('input').value === 'typed' && part.innerText.includes('new')",
    ),
    "what was typed, though the server has another value": (
        "<textarea name=note>old</textarea>",
        "part.querySelector('textarea').value = 'typed'",
        "<textarea name=note>new</textarea>",
        "part.querySelector('textarea').value === 'typed'",
    ),
    "a choice": (
        "<select name=a><option>x<option>y</select>",
        "part.querySelector('select').value = 'y'",
        "<b>!</b><select name=a><option selected>x<option>y</select>",
        "part.querySelector('select').value === 'y'",
    ),
    "what was unfolded, when it moves": (
        "<h3 id=x>x</h3><details><summary>more</summary>a</details>",
        "part.querySelector('details').open = true",
        "<p>new</p><details><summary>more</summary>b</details><h3 id=x>x</h3>",
        "part.querySelector('details').open && part.innerText.includes('b')",
    ),
    "the focus of a row that moves": (
        "<ul><li><a href=/1>1</a></li><li><a href=/2>2</a></li></ul>",
        "part.querySelector('[href=\"/2\"]').focus()",
        "<ul><li><a href=/3>3</a></li><li><a href=/2>two</a></li><li><a href=/1>1</a></li></ul>",
        "document.activeElement.innerText === 'two'",
    ),
    "a button, which never becomes another": (
        "<button name=action value=cancel>Cancel</button>",
        "part.querySelector('button').focus()",
        "<button name=action value=retry>Retry</button>",
        "document.activeElement === part && part.innerText === 'Retry'",
    ),
    "what a script draws": (
        "<canvas data-keep></canvas>",
        "part.querySelector('canvas').width = 7",
        "<p>new</p><canvas data-keep></canvas>",
        "part.querySelector('canvas').width === 7",
    ),
    "nothing that the server no longer sends": (
        "<p class=a title=t>old</p><p id=gone>gone</p><b>b</b>",
        "0",
        "<p>new</p>",
        "part.innerHTML === '<p>new</p>'",
    ),
    "the place of a box that was scrolled": (
        "<div tabindex=0 style='height: 20px; overflow: auto'><p style='height: 99px'>old</p></div>",
        "part.firstChild.scrollTop = 30",
        "<div tabindex=0 style='height: 20px; overflow: auto'><p style='height: 99px'>new</p></div>",
        "part.firstChild.scrollTop === 30",
    ),
}


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A window without the service."""
    with browser.new_page() as opened:
        yield opened


@pytest.mark.parametrize("case", CASES)
def test_a_part_keeps(page: Page, case: str) -> None:
    """The same elements, with all that somebody did to them."""
    old, act, fresh, holds = CASES[case]
    page.set_content(f"<div id=part>{old}</div>")
    page.add_script_tag(path=MORPH)
    page.evaluate("window.part = document.getElementById('part')")
    page.evaluate(act)
    page.evaluate(
        """fresh => { const next = document.createElement("div"); next.id = "part"; next.innerHTML = fresh;
          window.opsMorph(part, next); }""",
        fresh,
    )

    assert page.evaluate(holds), page.inner_html("#part")
