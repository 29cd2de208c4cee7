"""The phases of an attempt that sends what must not be sent twice."""

import pytest

from jobs.sending import GivenUp, Phase, Sending


def test_a_part_leaves_the_attempt_open_until_its_end_is_recorded() -> None:
    """Whatever was answered: other requests are left, and nobody else knows of this one."""
    recorded = []

    def record() -> bool:
        recorded.append(whole.phase)
        return True

    whole = Sending(record)
    for mark in (Sending.mark_done, Sending.mark_refused):
        part = whole.part()
        part.begin()
        mark(part)
        assert whole.phase is Phase.BEGUN
        assert not whole.forbid()
        whole.close()

    assert (whole.phase, recorded) == (Phase.UNSENT, [Phase.BEGUN] * 2)


def test_no_part_is_sent_once_the_attempt_is_given_up() -> None:
    """Between two parts it can be."""
    whole = Sending(lambda: True)
    whole.part().begin()
    whole.close()

    assert whole.forbid()
    whole.close()
    with pytest.raises(GivenUp):
        whole.part().begin()


def test_a_part_of_another_attempts_job_is_not_sent() -> None:
    """The database says whose it is."""
    whole = Sending(lambda: False)

    with pytest.raises(GivenUp):
        whole.part().begin()
    assert whole.phase is Phase.UNSENT
