"""Failed logins: they are logged, and an address with too many of them is locked out for a while (django-axes)."""

from typing import Any

import structlog
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest

from jobs import actor, audit
from scheduler_project.links import page
from scheduler_project.request_origin import client_address, login_name

log = structlog.get_logger(__name__)


def watch() -> None:
    user_logged_in.connect(_log_success, dispatch_uid="ops.login.succeeded")
    user_login_failed.connect(_log_failure, dispatch_uid="ops.login.failed")
    user_locked_out.connect(_record_lockout, dispatch_uid="ops.login.locked_out")


def _log_success(request: HttpRequest, user: Any, **_: Any) -> None:
    log.info("login.succeeded", user=user.get_username(), address=client_address(request))


def _log_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    if request is not None:
        log.warning("login.failed", user=login_name(request, credentials), address=client_address(request))


def _record_lockout(request: HttpRequest, username: str, ip_address: str | None, **_: Any) -> None:
    """Record the failure that locks the address; those that follow are only logged."""
    if getattr(request, "axes_failures_since_start", None) is None:
        log.warning("login.refused", user=username, address=ip_address, next="the address is locked out")
        return
    audit.record(
        actor=actor.user(username),
        verb="locked out",
        target=f"logins from {ip_address}",
        reason=f"{settings.AXES_FAILURE_LIMIT} failed logins; the last was as {username}",
        link=page("axes_accessattempt_changelist"),
    )
