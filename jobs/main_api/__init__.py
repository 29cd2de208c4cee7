"""The client of the main API."""
