"""What a worker does: fetch, claim, perform, record, and show RQ what happened."""
