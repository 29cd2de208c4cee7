"""When what is next due on its campaign's clock, and what is done then."""
