"""Everything that knows a key in Redis: what Redis carries, and what RQ may do there."""
