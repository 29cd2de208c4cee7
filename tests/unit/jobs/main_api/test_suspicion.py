"""When an error is about all items of a batch."""

import pytest

from jobs.errors import PermanentError, TransientError
from jobs.main_api.batches import Suspicion

SAME, OTHER = PermanentError("no"), PermanentError("another reason")


def suspicious() -> Suspicion:
    """Two requests in a row have failed in the same words."""
    suspicion = Suspicion()
    for _ in range(2):
        assert not suspicion.needs_probe
        suspicion.note(SAME, counts=True)
    assert suspicion.needs_probe
    return suspicion


@pytest.mark.parametrize(
    ("answer", "confirmed"), [(SAME, True), (TransientError("no"), True), (OTHER, False), (None, False)]
)
def test_a_probe_confirms_only_the_same_words(answer: Exception | None, confirmed: bool) -> None:
    """Otherwise the suspicion is gone, and nothing brings it back."""
    suspicion = suspicious()
    if isinstance(answer, PermanentError):
        suspicion.note(answer, counts=True)

    assert suspicion.is_confirmed(answer) is confirmed
    assert suspicion.needs_probe is confirmed


def test_nothing_is_suspected_once_an_item_has_worked() -> None:
    suspicion = suspicious()
    suspicion.clear()

    assert not suspicion.needs_probe


def test_other_errors_between_are_no_repetition() -> None:
    suspicion = Suspicion()
    for error, counts in ((SAME, True), (OTHER, True), (SAME, True), (SAME, False), (SAME, True)):
        suspicion.note(error, counts=counts)

    assert not suspicion.needs_probe
