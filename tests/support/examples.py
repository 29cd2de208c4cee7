"""How many examples hypothesis tries: few in `make test`, EXAMPLES times as many where that is set."""

import os
from typing import Final

from hypothesis import HealthCheck, settings

FACTOR: Final = int(os.environ.get("EXAMPLES", "1"))


def examples(number: int) -> settings:
    """For laws with expensive examples: their fixtures are made once for all of them."""
    slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=number * FACTOR, deadline=None, suppress_health_check=slow)
