"""Whether memory grows."""

import os

import pytest

from tests.soak.memory import LARGEST_SLOPE_KB, Memory, Sample


@pytest.mark.parametrize(("kb_per_job", "flat"), [(0.0, True), (-1.0, True), (0.09, True), (0.2, False)])
def test_only_growth_after_the_warm_up_counts(kb_per_job: float, flat: bool) -> None:
    """Filling caches is no leak; what each job leaves is one."""
    memory = Memory("worker", 1)
    memory.samples = [Sample(n * 2000, 50_000 + n * 3000.0) for n in range(10)]
    memory.samples += [Sample(n * 2000, 80_000 + n * 2000 * kb_per_job) for n in range(10, 30)]

    assert memory.slope_kb == pytest.approx(kb_per_job * 1000)
    assert memory.is_flat is flat
    assert LARGEST_SLOPE_KB < 200


def test_a_short_soak_cannot_fail() -> None:
    """Startup costs are not growth."""
    memory = Memory("worker", 1)
    memory.samples = [Sample(n * 100, n * 1000.0) for n in range(30)]

    assert memory.is_flat


def test_a_process_is_sampled_with_its_children() -> None:
    """This one uses some memory at least."""
    memory = Memory("this", os.getpid())
    memory.sample(0)
    memory.sample(0)

    assert memory.samples[0].rss_kb > 10_000
    assert memory.slope_kb == 0.0
