"""Sends deliveries, each target in its own lane, so that one that hangs or fails delays no other.

A delivery is claimed before it is sent and stays pending until its result is recorded. If a monitor dies in between,
the next one retries after CLAIM. So a message arrives at least once; receivers recognise a repeat by its ID.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import DatabaseError, connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from jobs import audit, counters
from monitoring.alerting import code_handlers
from monitoring.alerting.channels import CHANNELS, ChannelResponse, Undeliverable
from monitoring.alerting.channels.base import LONGEST_ANSWER, DeliveryFailed
from monitoring.alerting.deadline import deadline
from monitoring.alerting.handler_secrets import hide_secrets, of_process
from monitoring.alerting.message import RESOLVE, TEST, Message, from_json
from monitoring.models import AlertHandler, Delivery, Notice
from scheduler_project.logs import hide
from scheduler_project.text import line

log = structlog.get_logger(__name__)
MAX_ATTEMPTS: Final = 10  #: over about 85 minutes
DEADLINE_S: Final = 60.0  #: for one attempt by a channel, however slowly its receiver answers
CLAIM: Final = timedelta(minutes=2)  #: longer than an attempt takes
_FIRST_BACKOFF: Final = timedelta(seconds=5)
_LONGEST_BACKOFF: Final = timedelta(minutes=30)
AT_ONCE: Final = 20  #: deliveries of one target in one round


def backoff(attempts: int) -> timedelta:
    """Return the time between a failed attempt and the next.

    >>> [backoff(n).seconds for n in (1, 2, 3, 10)]
    [5, 10, 20, 1800]
    """
    factor: int = 2 ** (attempts - 1)
    return min(_LONGEST_BACKOFF, _FIRST_BACKOFF * factor)


class Lanes:
    """One thread per target with deliveries to send."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}

    def work(self, now: datetime) -> None:
        """Start a lane for each target that has due deliveries and no lane yet."""
        pending = Delivery.objects.pending().order_by()
        for target in pending.values_list("target", flat=True).distinct():
            lane = self._threads.get(target)
            if (lane is None or not lane.is_alive()) and due_deliveries(target, now):
                lane = threading.Thread(target=_drain, args=[target], name=f"alerts {target}", daemon=True)
                self._threads[target] = lane
                lane.start()

    def wait(self, seconds: float) -> None:
        """Wait up to `seconds` in total for deliveries that are being sent."""
        until = time.monotonic() + seconds
        for lane in self._threads.values():
            lane.join(max(0.0, until - time.monotonic()))


def due_deliveries(target: str, now: datetime) -> list[Delivery]:
    """Return what to send to `target` now: an alert's resolution only after its trigger has arrived or failed."""
    pending = Delivery.objects.pending().filter(target=target).order_by("id")
    due, seen = [], set[int | None]()
    for delivery in pending[: AT_ONCE * 5]:
        if delivery.alert_id is not None and delivery.alert_id in seen:
            continue
        if delivery.next_at <= now:
            due.append(delivery)
        seen.add(delivery.alert_id)
    return due[:AT_ONCE]


def _drain(target: str) -> None:
    try:
        for delivery in due_deliveries(target, timezone.now()):
            if not deliver(delivery):
                return  # the next round starts a new lane for the rest
    except DatabaseError as error:
        log.warning("delivery.lane_stopped", target=target, error=str(error), next="pending deliveries are retried")
    except Exception:  # last resort of a thread: the delivery that it claimed is still pending
        log.exception("delivery.lane_failed", target=target)
    finally:
        connections.close_all()


def deliver(delivery: Delivery) -> bool:
    """Make one attempt, record it and return whether the message arrived."""
    now = timezone.now()
    claimed = Delivery.objects.pending().filter(pk=delivery.pk, attempts=delivery.attempts, next_at__lte=now)
    if not claimed.update(attempts=delivery.attempts + 1, next_at=now + CLAIM):
        return False  # another monitor has it, or the receiver has asked for a pause meanwhile
    delivery.attempts += 1
    status, answer = _attempt(delivery)
    if status == Delivery.Status.PENDING and delivery.attempts >= MAX_ATTEMPTS:
        status = Delivery.Status.FAILED
    _record(delivery, status, answer)
    return status == Delivery.Status.SENT


def _attempt(delivery: Delivery) -> tuple[str, ChannelResponse]:
    """Send and return the new status: PENDING means retry."""
    try:
        return Delivery.Status.SENT, send(delivery)
    except Undeliverable as unfit:
        return Delivery.Status.FAILED, ChannelResponse(str(unfit))
    except DeliveryFailed as refused:
        return Delivery.Status.PENDING, refused.answer
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed attempt, kept in the delivery log
        return Delivery.Status.PENDING, ChannelResponse(f"{type(error).__name__}: {error}")


def send(delivery: Delivery) -> ChannelResponse:
    """Send through the handler's channel, or call the handler in code. Raises whatever that raises."""
    message = from_json(delivery.message, id=str(delivery.pk))
    if delivery.target.startswith(code_handlers.PREFIX):
        known = code_handlers.code_handlers().get(delivery.target)
        if known is None:
            raise Undeliverable("this release registers no such function")
        known.call(message)
        return ChannelResponse("called")
    handler = delivery.handler
    if handler is None:
        raise Undeliverable("the handler was deleted")
    if not handler.enabled and delivery.action != TEST:
        raise Undeliverable("the handler is disabled")
    return send_by(handler, message)


def send_by(handler: AlertHandler, message: Message) -> ChannelResponse:
    """Send a message through a handler's channel, without secrets in the answer or the error."""
    known: Mapping[str, str] = {**handler.config, **handler.secrets}
    hide(of_process(handler.secrets))
    try:
        with deadline(DEADLINE_S):
            answer = CHANNELS[handler.kind].send(message, known)
    except Undeliverable as unfit:
        raise Undeliverable(hide_secrets(str(unfit), handler.secrets)) from None
    except DeliveryFailed as refused:
        raise DeliveryFailed(replace(refused.answer, text=hide_secrets(refused.answer.text, handler.secrets))) from None
    except Exception as error:  # noqa: BLE001 - any error's message may contain a secret
        raise DeliveryFailed(
            ChannelResponse(hide_secrets(f"{type(error).__name__}: {error}", handler.secrets))
        ) from None
    return replace(answer, text=hide_secrets(answer.text, handler.secrets))


def _record(delivery: Delivery, status: str, answer: ChannelResponse) -> None:
    now = timezone.now()
    changes: dict[str, Any] = {
        "status": status,
        "http_status": answer.http_status,
        "answer": line(answer.text, LONGEST_ANSWER),
        "next_at": now + max(backoff(delivery.attempts), answer.retry_after or timedelta()),
    }
    if status == Delivery.Status.SENT:
        changes["sent_at"] = now
    if not _row_of(delivery, status).update(**changes):
        log.info("alert.late_result", delivery=delivery.pk, attempt=delivery.attempts, status=status)
        return
    if status == Delivery.Status.FAILED and delivery.action == RESOLVE:
        _owe_resolution(delivery)
    if answer.retry_after:  # the receiver does not mean this message only
        until = now + answer.retry_after
        Delivery.objects.pending().filter(target=delivery.target, next_at__lt=until).update(next_at=until)
    result = "retried" if status == Delivery.Status.PENDING else str(status)
    counters.add("alert_deliveries", delivery.handler_kind, result)
    values = {"delivery": delivery.pk, "handler": delivery.handler_name, "action": delivery.action}
    if status == Delivery.Status.SENT:
        log.info("alert.delivered", **values, attempt=delivery.attempts)
    else:
        log.warning("alert.delivery_failed", **values, attempt=delivery.attempts, error=answer.text, status=status)


def _row_of(delivery: Delivery, status: str) -> QuerySet[Delivery]:
    """The delivery's row, if this attempt may still say how it ended.

    An attempt that took longer than CLAIM may have been made again: its success counts, its failure says nothing.
    """
    row = Delivery.objects.filter(pk=delivery.pk)
    if status == Delivery.Status.SENT:
        return row.exclude(status=Delivery.Status.SENT)
    return row.filter(status=Delivery.Status.PENDING, attempts=delivery.attempts)


def _owe_resolution(delivery: Delivery) -> None:
    """Send the resolution again once its handler is enabled: without it PagerDuty's incident stays open."""
    if delivery.handler and AlertHandler.objects.filter(pk=delivery.handler.pk, enabled=False).exists():
        Notice.objects.filter(alert=delivery.alert_id, target=delivery.target).update(thinks_open=True)


@transaction.atomic
def redeliver(delivery: Delivery, *, actor: str) -> bool:
    """Queue a failed delivery again. Returns False if it had not failed."""
    failed = Delivery.objects.filter(pk=delivery.pk, status=Delivery.Status.FAILED)
    if not failed.update(status=Delivery.Status.PENDING, attempts=0, next_at=timezone.now()):
        return False
    audit.record(
        actor=actor,
        verb="sent again",
        target=f"{delivery.action} to {delivery.handler_name} ({delivery.alert or 'test'})",
    )
    return True
