"""The HTTP API for other services."""
