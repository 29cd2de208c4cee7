"""The texts of the scripts: a page carries them, since scripts are the same in every language."""

from typing import Final

from django import template
from django.utils.html import json_script
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

register = template.Library()
#: By the name that `opsText` of ops.js takes. Durations are as scheduler_project/durations.py writes them.
TEXTS: Final = {
    "ago": gettext_lazy("%(duration)s ago"),
    "in": gettext_lazy("in %(duration)s"),
    "now": gettext_lazy("now"),
    "overdue": gettext_lazy("overdue by %(duration)s"),
    "d": gettext_lazy("%(count)s d"),
    "h": gettext_lazy("%(count)s h"),
    "min": gettext_lazy("%(count)s min"),
    "s": gettext_lazy("%(count)s s"),
    "ms": gettext_lazy("%(count)s ms"),
    "shownIn": gettext_lazy("%(time)s (shown in %(zone)s)"),
    "new": gettext_lazy("%(count)s new"),
    "gone": gettext_lazy("%(count)s no longer in this list"),
    "show": gettext_lazy("%(news)s: show"),
    "stale": gettext_lazy("Live updates paused at %(time)s: %(reason)s. Retrying…"),
    "answered": gettext_lazy("the server answered %(status)s"),
    "silent": gettext_lazy("the server does not answer"),
    "live": gettext_lazy("Live"),
    "paused": gettext_lazy("Not updating"),
    "updatedEvery": gettext_lazy("Updated every %(duration)s"),
    "pause": gettext_lazy("Stop updating"),
    "resume": gettext_lazy("Update again"),
    "keys": gettext_lazy("Keys"),
    "keySearch": gettext_lazy("Search this list"),
    "keyPalette": gettext_lazy("Command palette: pages, jobs by ID, types, campaigns, settlements, structures"),
    "keyKeys": gettext_lazy("This list"),
    "close": gettext_lazy("Close"),
    "progress": gettext_lazy("%(count)s %(done)s, %(kept)s left as before"),
    "progressStates": gettext_lazy("%(progress)s: %(states)s"),
    "stopped": gettext_lazy("Stopped: %(reason)s. So far %(progress)s. Select the rest and run again."),
    "finished": gettext_lazy("%(progress)s. Done. %(note)s"),
    "loggedOut": gettext_lazy("you are logged out"),
    "unreadable": gettext_lazy("the server's answer cannot be read; it may have done one more step"),
    "silentStep": gettext_lazy("the server does not answer, and may have done one more step"),
    "logIn": gettext_lazy("Log in to continue"),
    "back": gettext_lazy("Back to the list"),
    "action": gettext_lazy("Show this action"),
    "undo": gettext_lazy("Undo"),
    "list": gettext_lazy("List"),
    "filters": gettext_lazy("Filters"),
    "pages": gettext_lazy("Pages"),
    "palette": gettext_lazy("Command palette"),
    "nothingFound": gettext_lazy(
        "Nothing found: try a page, a job's ID, a job type, or the name of a campaign, settlement or structure."
    ),
    "max": gettext_lazy("max"),
    "mean": gettext_lazy("mean"),
    "target": gettext_lazy("target for p95: 1 s"),
}


@register.simple_tag
def script_texts() -> SafeString:
    """The texts as JSON, which scripts read and nobody runs."""
    return json_script({name: str(text) for name, text in TEXTS.items()}, "ops-texts")
