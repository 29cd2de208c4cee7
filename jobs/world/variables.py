"""The `variables` of settlements and structures; any value may be missing, null or of the wrong type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import Any, Self

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
    return isinstance(value, dict) and all(is_number(amount) for amount in value.values())


LEAST_MINUTES = 1 / 60  # one second; a shorter interval must be a mistake
MOST_MINUTES = 60 * 24 * 366 * 1000  # a thousand years; a longer interval must be a mistake


def _abbreviate(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


class _Reader:
    """Reads values from a map and collects warnings."""

    def __init__(self, raw: object) -> None:
        self.warnings: list[str] = []
        self._raw: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        if raw is not None and not isinstance(raw, Mapping):
            self.warnings.append(f"variables: expected a map, got {_abbreviate(raw)}: defaults are used")

    def get(self, name: str, default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
        value = self._raw.get(name)
        if value is None:
            return default
        if fits(value):
            return float(value) if isinstance(value, Decimal) else value
        self.warnings.append(f"{name}: expected {expected}, got {_abbreviate(value)}: {default!r} is used")
        return default


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementVariables:
    """The variables that growth depends on, with the contract's defaults."""

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
        reader, default = _Reader(raw), _SETTLEMENT
        read = cls(
            population=int(reader.get("population", default.population, _count, "a whole number >= 0")),
            population_cap=int(reader.get("populationCap", default.population_cap, _count, "a whole number >= 0")),
            population_growth_rate=reader.get(
                "populationGrowthRate", default.population_growth_rate, _not_negative, "a number >= 0"
            ),
            population_growth_interval_minutes=reader.get(
                "populationGrowthIntervalMinutes",
                default.population_growth_interval_minutes,
                _minutes,
                "minutes, at least a second",
            ),
            resource_generation_interval_minutes=reader.get(
                "resourceGenerationIntervalMinutes",
                default.resource_generation_interval_minutes,
                _minutes,
                "minutes, at least a second",
            ),
            resource_types=reader.get("resourceTypes", default.resource_types, _names, "a list of names"),
            generation_rates=reader.get("generationRates", default.generation_rates, _amounts, "a map of numbers"),
            resources=reader.get("resources", default.resources, lambda v: isinstance(v, dict), "a map"),
            required_structures_for_level_up=reader.get("requiredStructuresForLevelUp", [], _names, "a list of names"),
        )
        return read, reader.warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureVariables:
    """The variables that maintenance depends on, with the contract's defaults."""

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
        reader, default = _Reader(raw), _STRUCTURE
        construction = reader.get(
            "constructionDurationMinutes", 0, lambda v: v == 0 or _minutes(v), "minutes, 0 or at least a second"
        )
        read = cls(
            maintenance_interval_minutes=reader.get(
                "maintenanceIntervalMinutes",
                default.maintenance_interval_minutes,
                _minutes,
                "minutes, at least a second",
            ),
            is_operational=reader.get("isOperational", True, lambda v: isinstance(v, bool), "true or false"),
            construction_duration_minutes=construction,
            health=reader.get("health", default.health, _not_negative, "a number >= 0"),
            max_level=int(reader.get("maxLevel", default.max_level, _count, "a whole number >= 0")),
            maintenance_wear=reader.get("maintenanceWear", default.maintenance_wear, _not_negative, "a number >= 0"),
            missed_maintenance=int(reader.get("missedMaintenance", 0, _count, "a whole number >= 0")),
            required_resources_for_upgrade=reader.get("requiredResourcesForUpgrade", {}, _amounts, "a map of numbers"),
        )
        return read, reader.warnings


#: The contract's defaults, made once: reading takes a third less time.
_SETTLEMENT, _STRUCTURE = SettlementVariables(), StructureVariables()
