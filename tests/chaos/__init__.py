"""Chaos: the whole service under a seeded schedule of faults, judged by three ledgers that must agree.

`python -m tests.chaos --seeds 1,2,3 --database postgresql` runs it; docs/verification.md says what it breaks.
"""
