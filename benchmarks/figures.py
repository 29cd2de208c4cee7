"""Measured figures as medians, ratios, a table and JSON. No I/O."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Figure:
    """One measured quantity, with the values of all runs in order."""

    scenario: str
    name: str
    unit: str
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios (ours to the peer's) of interleaved runs, or None without a pair."""
        pairs = [o / p for o, p in zip(self.ours, self.peer, strict=False) if p]
        return statistics.median(pairs) if pairs else None

    def as_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "figure": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "median_ours": median(self.ours),
            "median_peer": median(self.peer),
            "ratio": self.ratio,
        }


def join(earlier: Sequence[Figure], later: Sequence[Figure]) -> list[Figure]:
    """Merge figures, appending the later runs of a quantity to the earlier ones."""
    found = {(f.scenario, f.name): f for f in earlier}
    for figure in later:
        known = found.setdefault((figure.scenario, figure.name), figure)
        if known is not figure:
            known.ours += figure.ours
            known.peer += figure.peer
    return list(found.values())


def median(values: Sequence[float]) -> float | None:
    """Return the median, or None if there are no values.

    >>> median([3, 1, 2])
    2
    """
    return statistics.median(values) if values else None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all values do not exceed. Raises ValueError if there are no values.

    >>> percentile(range(1, 101), 99)
    99
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def format_figure(value: float | None) -> str:
    """Format with three significant digits, or as an integer with thousands separators.

    >>> format_figure(12345.6), format_figure(12.345), format_figure(0.1234), format_figure(None)
    ('12,346', '12.3', '0.123', '-')
    """
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def table(figures: Sequence[Figure], *, peer: str) -> str:
    """Format a Markdown table of medians with their ranges, and ratios."""
    rows = [("scenario", "figure", "ours", peer, "ratio", "runs")]
    rows += [
        (
            f.scenario,
            f"{f.name}, {f.unit}",
            _with_range(f.ours),
            _with_range(f.peer),
            format_figure(f.ratio),
            str(len(f.ours)),
        )
        for f in figures
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
    return "\n".join(lines)


def _with_range(values: Sequence[float]) -> str:
    if len(values) < 2:
        return format_figure(median(values))
    return f"{format_figure(median(values))} ({format_figure(min(values))} to {format_figure(max(values))})"
