"""Benchmarks of the service against Bull and BullMQ on the same machine; see docs/benchmark.md."""
