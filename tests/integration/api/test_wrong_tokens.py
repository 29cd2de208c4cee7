"""Addresses that send many wrong tokens are locked out for a while."""

import pytest
from django.test import Client, override_settings
from redis import Redis

from api import wrong_tokens
from scheduler_project.redis_connection import connect

pytestmark = pytest.mark.django_db(transaction=True)
RIGHT, WRONG = "secret-of-tests", "secret-of-nobody"


def ask(secret: str, address: str = "203.0.113.9") -> int:
    """The status of a request through one proxy."""
    headers = {"x-forwarded-for": address, **({"authorization": f"Bearer {secret}"} if secret else {})}
    with override_settings(TRUSTED_PROXIES=1):
        return Client().get("/api/jobs/0190f1c2-0000-7000-8000-000000000000", headers=headers).status_code


def test_many_wrong_tokens_lock_out_their_address_for_a_minute(redis: Redis) -> None:
    """Right tokens too, or guessing would pay; other addresses are served."""
    assert {ask(WRONG) for _ in range(wrong_tokens.LIMIT)} == {401}
    assert [ask(WRONG), ask(RIGHT), ask(RIGHT, "203.0.113.10")] == [429, 429, 404]
    wrong_tokens.forget()  # another web process: it learns with the next wrong one
    assert [ask(RIGHT), ask(WRONG), ask(RIGHT)] == [404, 429, 429]
    assert 0 < wrong_tokens.wait_s("203.0.113.9") <= wrong_tokens.WINDOW_S
    assert 0 < int(redis.ttl(wrong_tokens.COUNT.format("203.0.113.9"))) <= wrong_tokens.WINDOW_S


def test_requests_without_a_token_are_not_counted(redis: Redis) -> None:
    """They guess nothing."""
    assert {ask("") for _ in range(wrong_tokens.LIMIT + 5)} == {401}
    assert not redis.exists(wrong_tokens.COUNT.format("203.0.113.9"))


def test_without_redis_nobody_is_locked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs must be submitted then, too; wrong tokens are still refused."""
    nowhere = connect("redis://127.0.0.1:1")
    monkeypatch.setattr("jobs.broker.keys.redis", lambda: nowhere)

    assert {ask(WRONG) for _ in range(wrong_tokens.LIMIT + 5)} == {401}
    assert ask(RIGHT) == 404
