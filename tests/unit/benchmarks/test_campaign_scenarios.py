"""benchmarks/campaign_scenarios.py"""

from benchmarks.campaign_scenarios import find_steeper


def test_what_a_campaign_costs_must_not_grow_with_their_number() -> None:
    """Half as much again is allowed; times, and what only the larger size has, are not compared."""
    smaller = {("requests", "per campaign"): 2.0, ("CPU", "ms per campaign"): 4.0, ("start-up", "s"): 5.0}
    larger = {("requests", "per campaign"): 3.0, ("CPU", "ms per campaign"): 6.1, ("start-up", "s"): 50.0}

    assert find_steeper(smaller, {**larger, ("jobs", "per campaign"): 9.0}) == [
        "CPU, ms per campaign: 6.1 in place of 4"
    ]
