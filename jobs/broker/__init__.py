"""Everything that knows a Redis key: queues, pauses, depths, and what RQ may run."""
