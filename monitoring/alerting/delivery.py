"""Deliveries go out, each target in a lane of its own: what hangs or fails in one holds up no other.

A delivery is claimed before it is sent, and pending until its end is recorded: a monitor that dies in between leaves
it to the next after CLAIM. It arrives at least once; receivers know a repetition by its id.
"""

import re
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from jobs import audit, counters
from monitoring.alerting import code_handlers
from monitoring.alerting.channels import CHANNELS, Answer, Undeliverable
from monitoring.alerting.channels.base import LONGEST_ANSWER, Refused
from monitoring.alerting.message import Message, from_json
from monitoring.models import AlertHandler, Delivery
from scheduler_project.logs import SHORTEST_SECRET, hide, masked
from scheduler_project.text import line

log = structlog.get_logger(__name__)
MOST_ATTEMPTS: Final = 10  #: over about 85 minutes
CLAIM: Final = timedelta(minutes=2)  #: longer than any attempt takes
_FIRST_BACKOFF: Final = timedelta(seconds=5)
_LONGEST_BACKOFF: Final = timedelta(minutes=30)
AT_ONCE: Final = 20  #: deliveries of one target in one round
SHORTEST_TOKEN: Final = 8  #: a part of a URL that is a secret, with a digit in it; shorter ones are words


def backoff(attempts: int) -> timedelta:
    """How long after a failed attempt the next is made.

    >>> [backoff(n).seconds for n in (1, 2, 3, 10)]
    [5, 10, 20, 1800]
    """
    factor: int = 2 ** (attempts - 1)
    return min(_LONGEST_BACKOFF, _FIRST_BACKOFF * factor)


class Lanes:
    """One thread for each target that has something to be told."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}

    def work(self, now: datetime) -> None:
        """Start a lane for each target with something due that has none yet."""
        pending = Delivery.objects.pending().order_by()
        for target in pending.values_list("target", flat=True).distinct():
            lane = self._threads.get(target)
            if (lane is None or not lane.is_alive()) and due_of(target, now):
                lane = threading.Thread(target=_drain, args=[target], name=f"alerts {target}", daemon=True)
                self._threads[target] = lane
                lane.start()

    def wait(self, seconds: float) -> None:
        """Let what is being sent end, for `seconds` in all."""
        until = time.monotonic() + seconds
        for lane in self._threads.values():
            lane.join(max(0.0, until - time.monotonic()))


def due_of(target: str, now: datetime) -> list[Delivery]:
    """What `target` is to be told now: never the end of an alert before its beginning has arrived or failed."""
    pending = Delivery.objects.pending().filter(target=target).order_by("id")
    due, held = [], set[int | None]()
    for delivery in pending[: AT_ONCE * 5]:
        if delivery.alert_id is not None and delivery.alert_id in held:
            continue
        if delivery.next_at <= now:
            due.append(delivery)
        held.add(delivery.alert_id)
    return due[:AT_ONCE]


def _drain(target: str) -> None:
    """A lane's thread."""
    try:
        for delivery in due_of(target, timezone.now()):
            if not deliver(delivery):
                return  # the rest when it is looked again
    except DatabaseError as error:
        log.warning("alert.lane_stopped", target=target, error=str(error), next="what is pending is tried again")
    except Exception:  # the thread's edge: what it had claimed is pending still
        log.exception("alert.lane_failed", target=target)
    finally:
        connections.close_all()


def deliver(delivery: Delivery) -> bool:
    """Make one attempt and record it; whether it arrived."""
    now = timezone.now()
    claimed = Delivery.objects.filter(pk=delivery.pk, status=Delivery.Status.PENDING, attempts=delivery.attempts)
    if not claimed.update(attempts=delivery.attempts + 1, next_at=now + CLAIM):
        return False  # another monitor has it
    delivery.attempts += 1
    status, answer = _attempt(delivery)
    if status == Delivery.Status.PENDING and delivery.attempts >= MOST_ATTEMPTS:
        status = Delivery.Status.FAILED
    _record(delivery, status, answer)
    return status == Delivery.Status.SENT


def _attempt(delivery: Delivery) -> tuple[str, Answer]:
    """The status after one attempt, PENDING for one more."""
    try:
        return Delivery.Status.SENT, send(delivery)
    except Undeliverable as unfit:
        return Delivery.Status.FAILED, Answer(str(unfit))
    except Refused as refused:
        return Delivery.Status.PENDING, refused.answer
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed attempt, kept in the delivery log
        return Delivery.Status.PENDING, Answer(f"{type(error).__name__}: {error}")


def send(delivery: Delivery) -> Answer:
    """Send it by its handler's channel, or call its function. Raises what that raises."""
    message = from_json(delivery.message, id=str(delivery.pk))
    if delivery.target.startswith(code_handlers.PREFIX):
        known = code_handlers.code_handlers().get(delivery.target)
        if known is None:
            raise Undeliverable("this release registers no such function")
        known.call(message)
        return Answer("called")
    handler = delivery.handler
    if handler is None:
        raise Undeliverable("the handler was deleted")
    return send_by(handler, message)


def send_by(handler: AlertHandler, message: Message) -> Answer:
    """Send a message by a handler's channel; no secret stands in what it answers or raises."""
    known: Mapping[str, str] = {**handler.config, **handler.secrets}
    hide(secrets_of(handler))
    try:
        answer = CHANNELS[handler.kind].send(message, known)
    except Undeliverable as unfit:
        raise Undeliverable(hidden(str(unfit), handler)) from None
    except Refused as refused:
        raise Refused(Answer(hidden(refused.answer.text, handler), refused.answer.http_status)) from None
    except Exception as error:  # noqa: BLE001 - whatever it is, its words may hold a secret
        raise Refused(Answer(hidden(f"{type(error).__name__}: {error}", handler))) from None
    return Answer(hidden(answer.text, handler), answer.http_status)


def hidden(text: str, handler: AlertHandler) -> str:
    """`text` without the handler's secrets."""
    for part in secrets_of(handler):
        text = text.replace(part, "***")
    return line(masked(text), LONGEST_ANSWER)


def secrets_of(handler: AlertHandler) -> list[str]:
    """The handler's secrets; of one that is a URL also the parts by which libraries name it."""
    secrets = [secret for secret in handler.secrets.values() if secret]
    parts = [part for secret in secrets if "://" in secret for part in _parts(secret)]
    return sorted({*secrets, *parts}, key=len, reverse=True)


def _parts(url: str) -> list[str]:
    """Of a URL its path and password, and whatever else in it looks like a token. What is the host is no secret.

    >>> _parts("tgram://123456789:AbC-dEf/-4001/")
    ['/-4001/', 'AbC-dEf', '123456789']
    """
    rest = url.partition("://")[2]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    rest = rest.removeprefix(place)
    known = place.rpartition("@")[0] or place
    user, _, password = known.partition(":")
    tokens = [word for word in (user, *re.split(r"[/?&=#,:@]", rest)) if _looks_like_a_token(word)]
    return [part for part in dict.fromkeys([rest, password, *tokens]) if len(part) >= SHORTEST_SECRET]


def _looks_like_a_token(word: str) -> bool:
    return len(word) >= SHORTEST_TOKEN and "." not in word and any(c.isdigit() for c in word)


def _record(delivery: Delivery, status: str, answer: Answer) -> None:
    now = timezone.now()
    changes: dict[str, Any] = {
        "status": status,
        "http_status": answer.http_status,
        "answer": line(answer.text, LONGEST_ANSWER),
        "next_at": now + backoff(delivery.attempts),
    }
    if status == Delivery.Status.SENT:
        changes["sent_at"] = now
    Delivery.objects.filter(pk=delivery.pk).update(**changes)
    result = "retried" if status == Delivery.Status.PENDING else str(status)
    counters.add("alert_deliveries", delivery.handler_kind, result)
    values = {"delivery": delivery.pk, "handler": delivery.handler_name, "action": delivery.action}
    if status == Delivery.Status.SENT:
        log.info("alert.delivered", **values, attempt=delivery.attempts)
    else:
        log.warning("alert.not_delivered", **values, attempt=delivery.attempts, error=answer.text, status=status)


@transaction.atomic
def redeliver(delivery: Delivery, *, actor: str) -> bool:
    """Let a delivery that failed be tried anew; whether it had."""
    failed = Delivery.objects.filter(pk=delivery.pk, status=Delivery.Status.FAILED)
    if not failed.update(status=Delivery.Status.PENDING, attempts=0, next_at=timezone.now()):
        return False
    audit.record(actor=actor, verb="sent again", target=f"{delivery} ({delivery.alert or 'test'})")
    return True
