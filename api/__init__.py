"""What a program may ask: the HTTP API for other services."""
