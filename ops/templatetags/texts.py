"""The texts of the scripts: a page carries them, since scripts are the same in every language."""

from typing import Final

from django import template
from django.utils.html import json_script
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _lazy

register = template.Library()
#: By the name that `opsText` of ops.js takes. Durations are as scheduler_project/durations.py writes them.
TEXTS: Final = {
    "ago": _lazy("%(duration)s ago"),
    "in": _lazy("in %(duration)s"),
    "now": _lazy("now"),
    "overdue": _lazy("overdue by %(duration)s"),
    "d": _lazy("%(count)s d"),
    "h": _lazy("%(count)s h"),
    "min": _lazy("%(count)s min"),
    "s": _lazy("%(count)s s"),
    "ms": _lazy("%(count)s ms"),
    "shownIn": _lazy("%(time)s (shown in %(zone)s)"),
    "new": _lazy("%(count)s new"),
    "gone": _lazy("%(count)s no longer in this list"),
    "show": _lazy("%(news)s: show"),
    "stale": _lazy("Live updates paused at %(time)s: %(reason)s. Retrying…"),
    "answered": _lazy("the server answered %(status)s"),
    "silent": _lazy("the server does not answer"),
    "live": _lazy("Live"),
    "paused": _lazy("Paused"),
    "updatedEvery": _lazy("Updated every %(duration)s"),
    "pause": _lazy("Pause"),
    "resume": _lazy("Resume"),
    "pauseUpdates": _lazy("Pause live updates"),
    "resumeUpdates": _lazy("Resume live updates"),
    "keys": _lazy("Keys"),
    "keySearch": _lazy("Search this list"),
    "keyPalette": _lazy("Command palette: pages, jobs by ID, types, campaigns, settlements, structures"),
    "keyKeys": _lazy("This list"),
    "close": _lazy("Close"),
    "progress": _lazy("%(count)s %(done)s, %(kept)s left as before"),
    "progressStates": _lazy("%(progress)s: %(states)s"),
    "stopped": _lazy("Stopped: %(reason)s. So far %(progress)s. Select the rest and run again."),
    "finished": _lazy("%(progress)s. Done. %(note)s"),
    "loggedOut": _lazy("you are logged out"),
    "unreadable": _lazy("the server's answer cannot be read; it may have done one more step"),
    "silentStep": _lazy("the server does not answer, and may have done one more step"),
    "logIn": _lazy("Log in to continue"),
    "back": _lazy("Back to the list"),
    "action": _lazy("Show this action"),
    "undo": _lazy("Undo"),
    "list": _lazy("List"),
    "filters": _lazy("Filters"),
    "pages": _lazy("Pages"),
    "palette": _lazy("Command palette"),
    "nothingFound": _lazy(
        "Nothing found: try a page, a job's ID, a job type, or the name of a campaign, settlement or structure."
    ),
    "longest": _lazy("longest"),
    "mean": _lazy("mean"),
    "target": _lazy("target for p95: 1 s"),
}


@register.simple_tag
def script_texts() -> SafeString:
    """The texts as JSON, which scripts read and nobody runs."""
    return json_script({name: str(text) for name, text in TEXTS.items()}, "ops-texts")
