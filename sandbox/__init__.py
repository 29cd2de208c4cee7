"""A stand-in for the main API: its contract served over HTTP, over a small deterministic world in memory."""
