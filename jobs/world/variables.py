"""The `variables` of settlements and structures; any value may be missing, null or of the wrong type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import Any, Final, Self

LONGEST_NUMBER = 1000  #: digits, before or after the decimal point, of a usable number


def is_number(value: object) -> bool:
    """Whether `value` is a number we calculate with: not a bool, NaN or infinity, and at most LONGEST_NUMBER digits."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, int):
        return not isinstance(value, bool) and value.bit_length() < LONGEST_NUMBER * 4
    if isinstance(value, Decimal):
        digits = value.as_tuple().digits
        return value.is_finite() and abs(value.adjusted()) < LONGEST_NUMBER and len(digits) < LONGEST_NUMBER
    return False


def _not_negative(value: Any) -> bool:
    return is_number(value) and value >= 0 and (not isinstance(value, Decimal) or isfinite(float(value)))


def _count(value: Any) -> bool:
    return _not_negative(value) and value == int(value)


def _minutes(value: Any) -> bool:
    return is_number(value) and LEAST_MINUTES <= value <= MOST_MINUTES


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _amounts(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))


LEAST_MINUTES = 1 / 60  # one second; a shorter interval must be a mistake
MOST_MINUTES = 60 * 24 * 366 * 1000  # a thousand years; a longer interval must be a mistake


def abbreviate(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


@dataclass(frozen=True, slots=True)
class _Known:
    """A variable that the rules know."""

    field: str
    fits: Callable[[Any], bool]
    expected: str
    whole: bool = False  #: it is read as an int
    usual: tuple[float, float] = (1, 0)
    """An int or, unless `whole`, a float between these fits: most need no call to find out."""
    by_key: bool = False  #: of a map that does not fit, each value that is no number takes its own default, else 0


def _read(raw: object, known: Mapping[str, _Known], default: object) -> tuple[dict[str, Any], list[str]]:
    """Return the usable values in `raw` by field, and a warning for each of the wrong type."""
    warnings: list[str] = []
    if not isinstance(raw, dict | Mapping):  # a dict, nearly always: asking whether it is one is ten times as fast
        if raw is not None:
            warnings.append(f"variables: expected a map, got {abbreviate(raw)}: defaults are used")
        return {}, warnings
    values: dict[str, Any] = {}
    for name, one in known.items():
        value = raw.get(name)
        if value is None:
            continue
        kind = type(value)
        if (kind is int or (kind is float and not one.whole)) and one.usual[0] <= value <= one.usual[1]:
            values[one.field] = value
        elif one.by_key and isinstance(value, dict) and not one.fits(value):
            used = getattr(default, one.field)
            values[one.field] = {key: found if is_number(found) else used.get(key, 0) for key, found in value.items()}
            if odd := {key: found for key, found in value.items() if found is not None and not is_number(found)}:
                warnings.append(f"{name}: expected {one.expected}, got {abbreviate(odd)}: defaults are used for these")
        elif not one.fits(value):
            used = getattr(default, one.field)
            warnings.append(f"{name}: expected {one.expected}, got {abbreviate(value)}: {used!r} is used")
        elif one.whole:
            values[one.field] = int(value)
        else:
            values[one.field] = float(value) if isinstance(value, Decimal) else value
    return values, warnings


@dataclass(slots=True, kw_only=True)
class SettlementVariables:
    """The variables that growth depends on, with the contract's defaults. Not frozen, as StructureVariables."""

    population: int = 100
    population_cap: int = 1000
    population_growth_rate: float = 0.05
    population_growth_interval_minutes: float = 60
    resource_generation_interval_minutes: float = 60
    resource_types: list[str] = field(default_factory=lambda: ["food", "gold", "materials"])
    generation_rates: dict[str, float] = field(default_factory=lambda: {"food": 10, "gold": 5, "materials": 3})
    resources: dict[str, Any] = field(default_factory=dict)
    required_structures_for_level_up: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, raw: object) -> tuple[Self, list[str]]:
        """The variables in `raw`, and a warning for each value of the wrong type."""
        values, warnings = _read(raw, _OF_SETTLEMENT, _SETTLEMENT)
        return cls(**values), warnings


@dataclass(slots=True, kw_only=True)
class StructureVariables:
    """The variables that maintenance depends on, with the contract's defaults.

    Not frozen: an entity's are read several times a day, in half the time.
    """

    maintenance_interval_minutes: float = 120
    is_operational: bool = True
    construction_duration_minutes: float = 0
    """0: not under construction."""
    health: float = 100
    max_level: int = 5
    maintenance_wear: float = 10
    missed_maintenance: int = 0
    required_resources_for_upgrade: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: object) -> tuple[Self, list[str]]:
        """The variables in `raw`, and a warning for each value of the wrong type."""
        values, warnings = _read(raw, _OF_STRUCTURE, _STRUCTURE)
        return cls(**values), warnings


#: The contract's defaults, made once: reading takes a third less time.
_SETTLEMENT, _STRUCTURE = SettlementVariables(), StructureVariables()
_INTERVAL: Final = "minutes, at least a second"
_AMOUNT: Final = (0, 1e15)
_USUAL_INTERVAL: Final = (1, 1e6)
_OF_SETTLEMENT: Final = {
    "population": _Known("population", _count, "a whole number >= 0", whole=True, usual=_AMOUNT),
    "populationCap": _Known("population_cap", _count, "a whole number >= 0", whole=True, usual=_AMOUNT),
    "populationGrowthRate": _Known("population_growth_rate", _not_negative, "a number >= 0", usual=_AMOUNT),
    "populationGrowthIntervalMinutes": _Known(
        "population_growth_interval_minutes", _minutes, _INTERVAL, usual=_USUAL_INTERVAL
    ),
    "resourceGenerationIntervalMinutes": _Known(
        "resource_generation_interval_minutes", _minutes, _INTERVAL, usual=_USUAL_INTERVAL
    ),
    "resourceTypes": _Known("resource_types", _names, "a list of names"),
    "generationRates": _Known("generation_rates", _amounts, "a map of numbers", by_key=True),
    "resources": _Known("resources", lambda value: isinstance(value, dict), "a map"),
    "requiredStructuresForLevelUp": _Known("required_structures_for_level_up", _names, "a list of names"),
}
_OF_STRUCTURE: Final = {
    "constructionDurationMinutes": _Known(
        "construction_duration_minutes",
        lambda value: value == 0 or _minutes(value),
        "minutes, 0 or at least a second",
        usual=_USUAL_INTERVAL,
    ),
    "maintenanceIntervalMinutes": _Known("maintenance_interval_minutes", _minutes, _INTERVAL, usual=_USUAL_INTERVAL),
    "isOperational": _Known("is_operational", lambda value: isinstance(value, bool), "true or false"),
    "health": _Known("health", _not_negative, "a number >= 0", usual=_AMOUNT),
    "maxLevel": _Known("max_level", _count, "a whole number >= 0", whole=True, usual=_AMOUNT),
    "maintenanceWear": _Known("maintenance_wear", _not_negative, "a number >= 0", usual=_AMOUNT),
    "missedMaintenance": _Known("missed_maintenance", _count, "a whole number >= 0", whole=True, usual=_AMOUNT),
    "requiredResourcesForUpgrade": _Known("required_resources_for_upgrade", _amounts, "a map of numbers", by_key=True),
}
