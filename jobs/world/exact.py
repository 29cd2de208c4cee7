"""Exact arithmetic with the main API's decimals, however large or small."""

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

Exact = int | Fraction  # whole numbers are ints, which are ten times as fast


def exact(value: float | Decimal) -> Exact:
    """The decimal value of a finite number: 0.1 is a tenth, not the nearest binary fraction.

    >>> exact(0.1), exact(100.0)
    (Fraction(1, 10), 100)
    """
    return value if isinstance(value, int) else _parse(value)


@lru_cache(maxsize=4096, typed=True)  # typed: 0.1 is another value than the equal Decimal(0.1)
def _parse(value: float | Decimal) -> Exact:
    found = Fraction(str(value))
    return found.numerator if found.denominator == 1 else found


def plain(value: Exact) -> int | float:
    """Convert for JSON: a whole number to int, any other to the nearest float, or to int if it is too large for one.

    >>> plain(exact(0.3) - exact(0.1)), plain(exact(2.5) * 2)
    (0.2, 5)
    """
    if value.denominator == 1:
        return value.numerator
    try:
        return float(value)
    except OverflowError:
        return int(value)
