"""Figures of a benchmark."""

import pytest

from benchmarks import sampler
from benchmarks.figures import Figure, join, median, percentile, table


def figure(ours: list[float], peer: list[float]) -> Figure:
    return Figure(scenario="drain", name="rate", unit="jobs/s", ours=ours, peer=peer)


def test_the_median_of_nothing_is_none() -> None:
    """A side that was not measured has no median."""
    assert median([]) is None
    assert median([5.0, 1.0, 3.0]) == 3.0


def test_the_ratio_is_the_median_of_interleaved_pairs() -> None:
    """Each run is compared with the peer's run beside it, so that a slow minute of the machine falls on both."""
    assert figure([100, 50, 90], [200, 100, 100]).ratio == 0.5


def test_there_is_no_ratio_without_a_peer() -> None:
    """Alone, and against a peer that measured nothing, there is no ratio."""
    assert figure([100], []).ratio is None
    assert figure([100], [0]).ratio is None


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: int) -> None:
    """The smallest value that so many percent do not exceed."""
    assert percentile(range(100, 0, -1), percent) == expected


def test_a_percentile_of_nothing_raises() -> None:
    """No values have no percentile."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_the_table_is_aligned_markdown() -> None:
    """A row per figure, with ranges if there was more than one run."""
    lines = table([figure([1000, 3000, 2000], [4000, 4000, 4000]), figure([1], [])], peer="bull").splitlines()

    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert "2,000 (1,000 to 3,000)" in lines[2]
    assert "| 0.5 " in lines[2]
    assert lines[0].split("|")[4].strip() == "bull"


def test_json_has_every_value() -> None:
    """So that any median can be checked."""
    found = figure([1, 2, 3], [2, 4, 6]).as_json()

    assert found["ours"] == [1, 2, 3]
    assert found["median_peer"] == 4
    assert found["ratio"] == 0.5


def test_cpu_time_outside_the_samples_is_the_nearest_sample_s() -> None:
    """Nothing is extrapolated."""
    samples = [(10.0, 1.0, 0), (12.0, 2.0, 0)]

    assert sampler.cpu_at([], 11.0) == 0
    assert sampler.cpu_at(samples, 9.0) == 1.0
    assert sampler.cpu_at(samples, 13.0) == 2.0


def test_results_of_two_runs_are_merged() -> None:
    """Each figure has the values of both, in order."""
    first = Figure(scenario="s", name="rate", unit="jobs/s", ours=[1.0], peer=[2.0])
    again = Figure(scenario="s", name="rate", unit="jobs/s", ours=[3.0], peer=[4.0])
    other = Figure(scenario="t", name="rate", unit="jobs/s", ours=[5.0])

    both = join([first], [again, other])

    assert [(f.scenario, f.ours, f.peer) for f in both] == [("s", [1.0, 3.0], [2.0, 4.0]), ("t", [5.0], [])]
