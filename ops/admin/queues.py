"""django-rq's pages, for users who may see jobs. Its buttons act on scheduler jobs as the admin's own do."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Final

import structlog
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import include, path, reverse
from django_rq.queues import get_queue_by_index
from django_rq.urls import get_admin_urlpatterns, get_api_urlpatterns
from redis.exceptions import ResponseError
from rq import Worker
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import JOB_ID_PATTERN
from rq.job import Job as RQJob
from rq.queue import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry

from jobs.broker import keys
from jobs.broker.rq_fields import MALFORMED
from ops import rq_dashboard
from ops.admin import job_action
from ops.admin.base import actor_of, is_own_url, redirect, render_page
from ops.rq_buttons import BUTTONS

log = structlog.get_logger(__name__)
LOOKS: Final = 5  #: attempts to read a list that changes meanwhile
#: The button in rq_buttons.BUTTONS of each view; the bulk form names one of _BULK.
_BULK: Final = ("delete", "requeue", "stop")
_ONE: Final = {
    "requeue_job_view": "requeue",
    "enqueue_job": "enqueue",
    "delete_job": "delete",
    "stop_job": "stop",
}
_FAILED: Final = {"requeue_all": rq_dashboard.requeue, "delete_failed_jobs": rq_dashboard.delete_failed}
_EMPTY: Final = "clear_queue"
_PRESSES: Final = _ONE | {"requeue_all": "requeue", "delete_failed_jobs": "delete", _EMPTY: "delete"}


def guard(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Require jobs.view_job for the view; rq_dashboard handles a POST for users with the button's permission."""

    @wraps(view)
    def check(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        name = view.__name__
        _require(request, "jobs.view_job")
        if not _is_possible(**kwargs):
            raise Http404
        if name in _PRESSES:
            _require_button(request, _PRESSES[name])
        if request.method == "POST" and name in ("actions", "confirm_action"):
            button = request.POST.get("action", "")
            _require_button(request, button if button in _BULK else "")
        if request.method == "POST" and (name == "actions" or name in _PRESSES):
            return _press(request, name, *args, **kwargs)
        if name == "job_detail" and (job := rq_dashboard.find_job(kwargs["job_id"])):
            return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[job.pk]))
        if name == "worker_details" and not _worker_exists(**kwargs):
            raise Http404
        try:
            _forget_odd_ids(kwargs.get("queue_index"))
            return (
                _render_started(view, request, **kwargs) if name == "started_jobs" else view(request, *args, **kwargs)
            )
        except NoSuchJobError:
            raise Http404 from None
        except (*MALFORMED, DeserializationError, ResponseError) as error:
            return _render_unreadable(request, error)

    wrapped: Callable[..., HttpResponse] = admin.site.admin_view(check)
    return wrapped


def _forget_odd_ids(index: int | None) -> None:
    """Remove ids that are not text from the ends of queues: django-rq reads its oldest and newest job there."""
    for queue in [get_queue_by_index(i) for i in ([index] if index is not None else range(len(settings.RQ_QUEUES)))]:
        for _ in range(LOOKS):
            odd = keys.odd(i for i in (queue.connection.lindex(queue.key, end) for end in (0, -1)) if i)
            if not odd:
                break
            for rq_id in odd:
                queue.connection.execute_command("LREM", queue.key, 0, rq_id)


def _render_unreadable(request: HttpRequest, error: Exception) -> HttpResponse:
    """The page for data in Redis that RQ never wrote."""
    log.warning("rq.page_unreadable", path=request.path, error=f"{type(error).__name__}: {error}"[:500])
    return render_page(request, "django_rq/unreadable.html", {"what": type(error).__name__})


def _render_started(view: Callable[..., HttpResponse], request: HttpRequest, queue_index: int) -> HttpResponse:
    """django-rq's list of started jobs, which fails if RQ forgets a job while the list is read."""
    for _ in range(LOOKS):
        _forget_ended(get_queue_by_index(queue_index))
        with suppress(NotImplementedError):  # RQ's registry has no remove(), which django-rq calls for such a job
            return view(request, queue_index)
    return view(request, queue_index)


def _forget_ended(queue: Queue) -> None:
    """Remove started jobs that RQ no longer knows, and entries without an execution: RQ would fail to split them."""
    key = StartedJobRegistry(queue=queue).key
    entries: Any = queue.connection.zrange(key, 0, -1)
    started = [entry for entry in keys.texts(entries) if entry.count(":") == 1]
    ids = [entry.partition(":")[0] for entry in started]
    known = RQJob.fetch_many(ids, queue.connection, serializer=queue.serializer)
    kept = {entry.encode() for entry, found in zip(started, known, strict=True) if found}
    gone = [entry for entry in entries if entry not in kept]
    if gone:
        queue.connection.zrem(key, *gone)


def _is_possible(job_id: str = "-", **more: Any) -> bool:
    """Whether the queue and the job id are valid: django-rq's pages fail on others."""
    indexes = [value for name, value in more.items() if name.endswith("_index")]
    return bool(JOB_ID_PATTERN.fullmatch(job_id)) and all(index < len(settings.RQ_QUEUES) for index in indexes)


def _worker_exists(queue_index: int, key: str) -> bool:
    """django-rq's page fails for a worker that is gone."""
    if not key.startswith(Worker.redis_worker_namespace_prefix):
        return False
    return Worker.find_by_key(key, connection=get_queue_by_index(queue_index).connection) is not None


def _require_button(request: HttpRequest, name: str) -> None:
    if name not in BUTTONS or not BUTTONS[name].permitted(request.user.has_perm):
        raise PermissionDenied


def _require(request: HttpRequest, permission: str) -> None:
    if not permission or not request.user.has_perm(permission):
        raise PermissionDenied


def _press(request: HttpRequest, name: str, queue_index: int, job_id: str = "") -> HttpResponse:
    """Press a button and return to a page that still exists."""
    queue: Queue = get_queue_by_index(queue_index)
    actor = actor_of(request)
    back = reverse("django_rq:jobs", args=[queue_index])
    if name == _EMPTY:
        done = rq_dashboard.empty(queue, actor=actor)
    elif name in _FAILED:
        ids = FailedJobRegistry(queue=queue).get_job_ids()
        done = _FAILED[name](queue, ids, actor=actor)
        back = reverse("django_rq:failed_jobs", args=[queue_index])
    elif name in _ONE:
        done = BUTTONS[_ONE[name]].press(queue, [job_id], actor=actor)
        if name != "delete_job":
            back = reverse("django_rq:job_detail", args=[queue_index, job_id])
    else:
        ids = request.POST.getlist("job_ids")
        done = BUTTONS[request.POST["action"]].press(queue, ids, actor=actor)
        wanted = request.POST.get("next_url", "")
        back = wanted if is_own_url(request, wanted) else back
    undo_url, never = job_action.offer_last(request, done.actions)
    return redirect(request, back, f"{done.text} {never}".strip(), messages.INFO, undo=undo_url)


def _urls() -> list[Any]:
    """django-rq's patterns, all guarded: any staff user could read its JSON and metrics otherwise."""
    api = get_api_urlpatterns()
    for pattern in api:
        pattern.callback = guard(pattern.callback)
    return api + get_admin_urlpatterns(view_wrapper=guard)


urlpatterns = [path("", include((_urls(), "django_rq")))]
