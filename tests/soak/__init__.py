"""Soak: the whole service under a steady load, and whether its memory stays flat.

`python -m tests.soak --minutes 10 --rate 200` runs it.
"""
