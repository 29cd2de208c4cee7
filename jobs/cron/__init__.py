"""Cron tasks: firing them, and changing them."""
