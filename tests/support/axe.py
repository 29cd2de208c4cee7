"""What axe-core finds wrong with a page."""

from collections import Counter
from typing import Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

AXE: Final = Axe().axe_script  #: the script, for a window whose pages are looked at
#: WCAG 2.1 A and AA, and what axe calls best practice: landmarks, the order of headings. No style sheet need be loaded
#: again for them. Contrast takes most of axe's time: it is looked at by itself.
_RULES: Final = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]},
    "rules": {"color-contrast": {"enabled": False}},
    "preload": {"assets": ["media"]},
    "selectors": False,
}
#: Unfold decides on light or dark when it loads a page, and does not look again.
_THEME: Final = """() => {
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    document.documentElement.classList.toggle('dark', dark);
    return dark;
}"""
_BREAKS_RULES: Final = """
([without, rules]) => axe.run({
    include: [['html']], exclude: without.filter((one) => document.querySelector(one)).map((one) => [one]),
}, rules).then(found => found.violations
    .flatMap(({id, nodes}) => nodes.slice(0, 2).map(node => `${id}: ${node.html.slice(0, 200)}`)))
"""
#: A look is all that the contrast of a text depends on: its colour, whether it is large, and what is behind it, down to
#: the first ground that nothing shines through; and which boxes out of the flow it is in, as they may cover others.
_LACKS_CONTRAST: Final = """
async (seen) => {
    const behind = new Map([[null, {grounds: [], around: []}]]), found = new Map(), known = new Set(seen);
    const behindOf = (element) => {
        if (!behind.has(element)) {
            const style = getComputedStyle(element), {grounds, around} = behindOf(element.parentElement), own = [];
            const isOpaque = /^[a-z]+\\([^/,]+(,[^,]+,[^,]+)?\\)$/.test(style.backgroundColor);
            if (style.backgroundColor !== 'rgba(0, 0, 0, 0)') own.push(style.backgroundColor);
            if (style.backgroundImage !== 'none') own.push(style.backgroundImage);
            const boxes = [];
            if (style.opacity !== '1') boxes.push(style.opacity);
            if (style.filter !== 'none') boxes.push(style.filter);
            const inFlow = style.top === '0px' && style.left === '0px' ? ['static', 'relative'] : ['static'];
            if (!inFlow.includes(style.position)) boxes.push(style.position, element.className);
            behind.set(element, {grounds: isOpaque ? own : [...grounds, ...own], around: [...around, ...boxes]});
        }
        return behind.get(element);
    };
    const looks = new Map();
    const look = (element) => {
        if (!looks.has(element)) {
            const style = getComputedStyle(element), {grounds, around} = behindOf(element);
            const size = parseFloat(style.fontSize), isLarge = size >= 24 || (size >= 18.67 && style.fontWeight >= 700);
            looks.set(element, [style.color, isLarge, style.textShadow, ...grounds, ...around].join(' '));
        }
        return looks.get(element);
    };
    for (const element of document.body.querySelectorAll('*')) {
        const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (!(hasText || element.matches('input, select, textarea'))) continue;
        if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
        const alike = found.get(look(element)) ?? [];
        if (!known.has(look(element))) found.set(look(element), [...alike, element].slice(0, 3));
    }
    if (!found.size) return [[], [], []];
    const {violations, passes} = await axe.run({include: [...found.values()].flat()}, {
        resultTypes: ['violations', 'passes'], elementRef: true, selectors: false,
        runOnly: {type: 'rule', values: ['color-contrast']},
    });
    const nodes = (results) => results.flatMap((result) => result.nodes);
    const lacking = new Set(nodes(violations).map((node) => look(node.element)));
    return [
        nodes(violations).map((node) => `color-contrast: ${node.html.slice(0, 200)}`),
        nodes(passes).map((node) => look(node.element)),
        [...found.keys()].filter((each) => !lacking.has(each)),
    ];
}
"""
_ENOUGH: Final = 3  #: pages on which axe could not tell whether a look has enough contrast
_seen: Counter[str] = Counter()  # how often each look was looked at; one that has enough contrast, often enough


def violations(page: Page, without: list[str]) -> list[str]:
    """What axe finds wrong, of any impact, with the element, and what has too little contrast in light or in dark.

    The page has the script AXE. What is in the selectors of `without` is looked at for contrast only. The page begins
    in the theme that it has, and stays in the other one: the next page can be loaded in that.
    """
    begins_dark = page.evaluate(_THEME)
    found = _find_in_theme(page, without, dark=begins_dark)
    page.emulate_media(color_scheme="light" if begins_dark else "dark")
    page.evaluate(_THEME)
    return found + _find_in_theme(page, without, dark=not begins_dark)


def _find_in_theme(page: Page, without: list[str], *, dark: bool) -> list[str]:
    """The rules that say nothing of colours are the same in dark."""
    if dark:
        return [f"dark: {fault}" for fault in _find_low_contrast(page)]
    return [*page.evaluate(_BREAKS_RULES, [without, _RULES]), *_find_low_contrast(page)]


def _find_low_contrast(page: Page) -> list[str]:
    """Texts that have too little contrast, some of each look. A look that has enough is looked at once a run."""
    known = [look for look, times in _seen.items() if times >= _ENOUGH]
    lacking, passed, found = page.evaluate(_LACKS_CONTRAST, known)
    _seen.update(found)
    _seen.update(dict.fromkeys(passed, _ENOUGH))
    return list(map(str, lacking))
