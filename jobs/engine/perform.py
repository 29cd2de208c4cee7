"""The path of perform() in job hashes of the previous release; the next release removes it."""

from jobs.engine.worker.perform import perform

__all__ = ["perform"]
