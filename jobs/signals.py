"""The one signal of jobs/: jobs have moved. Receivers only observe; the work itself never depends on them."""

from django.dispatch import Signal

#: Sent after the commit with `moves`: a list of jobs.ledger.moves.Moved, one per job of the batch.
job_moved = Signal(use_caching=True)
