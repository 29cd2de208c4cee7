"""How fast the service is, beside Bull and BullMQ on the same machine; see docs/benchmark.md."""
