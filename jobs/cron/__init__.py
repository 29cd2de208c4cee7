"""Cron tasks: when they fire, and how people change them."""
