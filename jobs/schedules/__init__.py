"""Schedules: when each entity is next due on its campaign's clock, and applying what is due."""
