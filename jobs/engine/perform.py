"""The address that stands in RQ's job hashes; what it names is jobs/engine/worker/perform.py."""

from jobs.engine.worker.perform import perform

__all__ = ["perform"]
