"""The worker: fetch, claim, perform, record, and mirror the result to RQ."""
