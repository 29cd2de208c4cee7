"""The path of perform() that job hashes of the release before name; to be removed with the next."""

from jobs.engine.worker.perform import perform

__all__ = ["perform"]
