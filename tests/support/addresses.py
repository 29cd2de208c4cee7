"""The addresses of all pages."""

from collections.abc import Iterator
from typing import Any

from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from jobs.models import FailureGroup


def addresses(known: dict[str, Any]) -> Iterator[str]:
    """Every address of the admin and of the queue dashboard, with arguments that exist where they can be known."""
    ids = {"jobs_job": known["job"], "jobs_crontask": known["task"]}
    ids |= {"jobs_failuregroup": FailureGroup.objects.values_list("pk", flat=True).first() or "x"}
    given = {"kind": "csv", "key": "rq:worker:w", "worker_key": "rq:worker:w"}
    for name, count, named in _patterns(get_resolver().url_patterns):
        model = next((key for key in ids if key in name), "")
        value = ids.get(model, "1")
        kwargs = {name_: given.get(name_, known["job"] if "job" in name_ else "0") for name_ in named}
        try:
            yield reverse(name, kwargs=kwargs) if named else reverse(name, args=[value] * count)
        except NoReverseMatch:
            continue


def _patterns(patterns: Any, spaces: str = "") -> Iterator[tuple[str, int, list[str]]]:
    for one in patterns:
        if isinstance(one, URLResolver):
            space = f"{spaces}{one.namespace}:" if one.namespace else spaces
            yield from _patterns(one.url_patterns, space)
        elif isinstance(one, URLPattern) and one.name and spaces:
            named = list(one.pattern.converters)
            yield f"{spaces}{one.name}", 0 if named else one.pattern.regex.groups, [] if "object_id" in named else named
            if "object_id" in named:
                yield f"{spaces}{one.name}", 1, []
