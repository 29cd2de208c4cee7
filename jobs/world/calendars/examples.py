"""The calendar of campaigns without their own, and two invented ones to begin from."""

from collections.abc import Mapping
from typing import Final

from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.parts import LeapRule, Month
from jobs.world.clock import WorldTime

GREGORIAN: Final = Calendar(
    name="Gregorian",
    months=(
        Month("January", 31),
        Month("February", 28),
        Month("March", 31),
        Month("April", 30),
        Month("May", 31),
        Month("June", 30),
        Month("July", 31),
        Month("August", 31),
        Month("September", 30),
        Month("October", 31),
        Month("November", 30),
        Month("December", 31),
    ),
    weekdays=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    leap_rules=(LeapRule("February", (4, 100, 400)),),
    era_before="BCE",
)

#: Thirteen months of 28 days; Lantern Night belongs to none of them and to no week, and is two days long in leap years.
LANTERN: Final = Calendar(
    name="Lantern Count",
    months=(
        *(Month(name, 28) for name in ("Emberwake", "Thawmere", "Seedrise", "Larksong", "Meadowlight", "Noonlong")),
        Month("Lantern Night", 1, intercalary=True, in_week=False),
        *(Month(name, 28) for name in ("Goldhay", "Cinderdry", "Applefall", "Mistwane")),
        *(Month(name, 28) for name in ("Hearthturn", "Frostgate", "Stillsnow")),
    ),
    weekdays=("Plowday", "Loomday", "Forgeday", "Marketday", "Netday", "Songday", "Restday"),
    leap_rules=(LeapRule("Lantern Night", (4, 128)),),
    epoch=WorldTime.parse("0001-01-01T00:00:00Z"),
    era="LC",
    era_before="before LC",
)

#: Ten hours a day; every third year has a ninth month, Deeptide, but every thirtieth does not.
TIDES: Final = Calendar(
    name="Tide Wheel",
    months=(
        Month("First Ebb", 41),
        Month("Saltwind", 40),
        Month("Gullreturn", 41),
        Month("High Water", 40),
        Month("Deeptide", 0),
        Month("Netmending", 41),
        Month("Long Calm", 40),
        Month("Stormhang", 41),
        Month("Last Ebb", 40),
    ),
    weekdays=("Slack", "Flow", "Crest", "Ebbing", "Low"),
    hours_per_day=10,
    leap_rules=(LeapRule("Deeptide", (3, 30), days=36),),
    epoch=WorldTime.parse("1000-01-01T00:00:00Z"),
)

EXAMPLES: Final[Mapping[str, Calendar]] = {"gregorian": GREGORIAN, "lantern": LANTERN, "tides": TIDES}
