"""Alerts are cut to each channel's limits, visibly."""

import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack
from email.header import decode_header, make_header
from email.message import Message as Mail
from typing import Any

import apprise
import pytest
from django.test import override_settings
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from monitoring.alerting.channels import CHANNELS
from monitoring.alerting.channels.apprise_url import texts_for
from monitoring.alerting.channels.base import as_text
from monitoring.alerting.channels.limits import MAIL_BODY, Limit, characters, cut, in_json, utf8
from monitoring.alerting.channels.slack import escape
from monitoring.alerting.message import Message
from monitoring.models import Severity
from scheduler_project.text import plain
from tests.support.receivers import HttpReceiver, http_receiver, mail_receiver

#: What has broken a channel, or may: lines, headers, markup, escapes, halves, marks, flags, families.
PIECES = [
    "x",
    "word ",
    "\n",
    "\r\n",
    "Bcc: a@b.c\n",
    "\x00",
    "\x07",
    "\u2028",
    "<!channel>",
    "&amp;",
    '"\\',
    "é",
    "日本",
    "🏰",
    "\ud83c",
    "e\u0301",
    "👨\u200d👩\u200d👧",
    "🇩🇪",
    "👍🏽",
]
TEXTS = st.builds(
    lambda pieces, n: "".join(pieces) * n,
    st.lists(st.sampled_from(PIECES), max_size=6),
    st.sampled_from([1, 1, 30, 3_000]),
)
MESSAGES = st.builds(
    lambda title, text, details: Message(
        action="trigger",
        alert=f"campaign-scheduler-code:critical:{title[:200]}-1",
        kind="code",
        severity=Severity.CRITICAL,
        title=title[:200],
        message=text,
        timestamp="2026-01-01T00:00:00.000+00:00",
        count=42,
        details=details,
        environment="test",
        id="7",
        links={"alert": "https://a.example/admin/?a=1&b=<2>"},
        runbook="Start a worker.",
    ),
    TEXTS,
    TEXTS,
    st.dictionaries(st.sampled_from(["error", "a\nb", "list"]), TEXTS | st.lists(TEXTS, max_size=2)),
)
LARGEST = Message(
    action="trigger",
    alert="a" * 230 + "🏰" * 100,
    kind="code",
    severity=Severity.CRITICAL,
    title="two\nlines",
    message="\x07" * 400_000,
    timestamp="2026-01-01T00:00:00.000+00:00",
    details={"a": "日" * 400_000},
    id="7",
)
CUT = re.compile(r"… \([\d,]+ more characters cut\)")
SERVICES = [
    "discord://a/b",
    "tgram://123456789:abcdefg_hijklmnop/-4001/",
    f"pover://{'u' * 30}@{'t' * 30}",
    "ntfys://x",
    f"twilio://AC{'a' * 32}:{'b' * 32}@15551234567/15557654321",
    "json://localhost",
    "kodi://localhost",
]
often = hypothesis_settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def receivers() -> Iterator[tuple[HttpReceiver, list[Mail]]]:
    """An HTTP server and a mail server."""
    with ExitStack() as ends:
        http, (port, mails) = ends.enter_context(http_receiver()), ends.enter_context(mail_receiver())
        backend = "django.core.mail.backends.smtp.EmailBackend"
        ends.enter_context(override_settings(EMAIL_BACKEND=backend, EMAIL_HOST="127.0.0.1", EMAIL_PORT=port))
        yield http, mails


def send_message(http: HttpReceiver, kind: str, message: Message) -> Any:
    """What arrives of a message."""
    http.got.clear()
    url = http.url.replace("http", "json", 1) if kind == "apprise" else http.url
    CHANNELS[kind].send(message, {"url": url, "secret": "s", "routing_key": "R" * 32})
    return http.got[-1]


@often
@given(message=MESSAGES)
@example(message=LARGEST)
def test_every_channel_gets_messages_within_its_limits(
    receivers: tuple[HttpReceiver, list[Mail]], message: Message
) -> None:
    """At real receivers: sizes, and one line where only one is accepted."""
    http, mails = receivers
    slack = send_message(http, "slack", message).json
    section = slack["attachments"][0]["blocks"][0]["text"]["text"]
    assert characters(slack["text"]) <= 40_000
    assert characters(section) <= 3_000
    assert not re.search(r"&(?!(amp|lt|gt);)|[<>]", slack["text"] + section)
    assert characters(escape(as_text(message, MAIL_BODY))) <= 3_000 or CUT.search(section)
    assert escape("\n".join(message.links.values())) in section
    assert section.endswith(escape(message.runbook))

    event = send_message(http, "pagerduty", message)
    assert len(event.body) <= 512_000
    assert characters(event.json["dedup_key"]) <= 255
    assert characters(event.json["payload"]["summary"]) <= 1_024
    whole = len(json.dumps([message.message, message.details])) > 2_000_000
    assert not whole or CUT.search(json.dumps(event.json, ensure_ascii=False))

    hook = send_message(http, "webhook", message)
    assert len(hook.body) <= 1_000_000
    assert hook.json["id"] == message.id

    generic = send_message(http, "apprise", message).json
    assert len(generic["title"]) <= 250
    assert len(generic["message"]) <= 32_768

    mails.clear()
    CHANNELS["email"].send(message, {"to": "ann@example.org"})
    (mail,) = mails
    subject = str(make_header(decode_header(mail["Subject"]))).replace("\n", "")
    assert mail["Bcc"] is None
    assert subject.startswith("[CRITICAL]")
    assert characters(subject) <= 250
    assert all(len(line) <= 998 for line in mail.as_bytes().splitlines())


@often
@given(message=MESSAGES)
def test_apprise_has_nothing_left_to_cut(message: Message) -> None:
    """It would cut silently."""
    for url in SERVICES:
        told: Any = apprise.Apprise.instantiate(url)
        title, body = texts_for(told, message)

        cutting: dict[str, Any] = {"overflow": apprise.OverflowMode.TRUNCATE, "body_format": "text"}
        (kept,) = told._apply_overflow(body, title, **cutting)  # noqa: SLF001 - no public function says what it cuts
        assert kept["body"].replace("\r\n", "\n").endswith(body.rstrip()[-40:]), url
        assert kept["title"] in ("", title.strip()), url
        assert len(kept["body"]) <= told.body_maxlen, url


@given(text=TEXTS, size=st.integers(0, 200), of=st.sampled_from([characters, utf8, in_json, len]))
def test_a_cut_fits_and_splits_no_character(text: str, size: int, of: Any) -> None:
    """By characters or bytes; the head is a beginning of the text and ends at a sensible place."""
    limit = Limit(size, of)
    whole = plain(text)

    kept = cut(text, limit)

    assert of(kept) <= max(size, of(""))
    if of(whole) <= size:
        assert kept == whole
        return
    head = re.sub(r"… \([\d,]+ more characters cut\)$|…$", "", kept)
    assert whole.startswith(head)
    following = whole[len(head) : len(head) + 1]
    assert not head or not following or unicodedata.category(following) not in ("Mn", "Me")
    assert not head.endswith("\u200d")
    if said := re.search(r"\(([\d,]+) more characters cut\)$", kept):
        assert int(said[1].replace(",", "")) == len(whole) - len(head)


@pytest.mark.parametrize("title", ["one\ntwo", "one\r\ntwo", "one\u2028 two", "one\x85\ttwo", " one \x00\n two\n"])
def test_a_title_is_one_line_in_every_channel(title: str) -> None:
    """In the subject too."""
    message = Message(
        action="trigger", alert=title, kind="code", severity=Severity.INFO, title=title, message="", timestamp=""
    )

    assert message.subject == "[INFO] one two"
    assert message.thread.isalnum()
