"""The one signal of jobs/: something has moved. Work is done by calls, never by receivers."""

from django.dispatch import Signal

#: Sent after the commit with `moves`: a list of jobs.ledger.moves.Moved, one for each job of the batch.
job_moved = Signal()
