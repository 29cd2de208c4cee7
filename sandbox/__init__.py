"""A stand-in for the main API: it serves the contract over HTTP from a small deterministic world in memory."""
