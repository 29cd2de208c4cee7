"""Calendars of invented worlds: pure functions between world time and a calendar's dates."""
