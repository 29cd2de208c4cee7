"""Which jobs a bulk action was for, in words: its filter, as the audit trail keeps it."""

from typing import Any, Final

from django.contrib.admin.views.main import SEARCH_VAR
from django.http import HttpRequest, QueryDict

from jobs.states import Priority

#: Names of the list's parameters, where they differ from what people read.
_NAMES: Final = {
    "campaign_id__exact": "campaign",
    "priority__exact": "priority",
    "worker__exact": "worker",
    "from": "source",
    "due_at_from": "due from",
    "due_at_to": "due until",
    "finished_at_from": "ended from",
    "finished_at_to": "ended until",
    SEARCH_VAR: "search",
}
_PAGES: Final = ("before", "after", "p", "e", "o")  #: parameters that choose no jobs


def describe(request: HttpRequest, model_admin: Any) -> str:
    """The filter of a request that acts on all jobs of it; empty if jobs were selected one by one."""
    if request.POST.get("select_across") != "1":
        return ""
    chosen = [name for name in request.GET if name not in _PAGES and request.GET[name]]
    parts = [f"{_NAMES.get(name, name)}: {_label(model_admin, name, request.GET)}" for name in chosen]
    return "; ".join(parts) or "all jobs"


def _label(model_admin: Any, name: str, query: QueryDict) -> str:
    """The value as its filter shows it: a campaign with its name, a priority by name."""
    value = str(query[name])
    if name == "priority__exact":
        return {str(priority.value): priority.name for priority in Priority}.get(value, value)
    filters = [one for one in model_admin.list_filter if getattr(one, "parameter_name", "") == name]
    return next((str(one.label(one, value)) for one in filters if hasattr(one, "label")), "") or value
