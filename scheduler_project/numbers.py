"""How pages and alerts write numbers."""

from django.utils.formats import number_format


def format_number(value: float, decimals: int = 0) -> str:
    """A number with the decimal mark and the thousands separators of the pages' language.

    >>> format_number(12_345), format_number(0.96, 1), format_number(-1234.56, 1)
    ('12,345', '1.0', '-1,234.6')
    """
    return number_format(f"{value:.{decimals}f}", decimals, force_grouping=True)  # a float would be cut, not rounded
