"""Reckoning with the decimals that the main API writes: exact, however large or small they are."""

from decimal import Decimal
from fractions import Fraction


def exact(value: float | Decimal) -> Fraction:
    """A finite number as it is written: 0.1 is a tenth, not the binary fraction next to it."""
    return Fraction(value) if isinstance(value, int) else Fraction(str(value))


def plain(value: Fraction) -> int | float:
    """As JSON has it: a whole number as it is, another as the nearest float, one beyond any float without its rest.

    >>> plain(exact(0.3) - exact(0.1)), plain(exact(2.5) * 2)
    (0.2, 5)
    """
    if value.denominator == 1:
        return value.numerator
    try:
        return float(value)
    except OverflowError:
        return int(value)
