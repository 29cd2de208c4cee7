"""Checks how far the main API keeps its contract, without changing anything.

`gather.py` sends the requests, the `judge_*.py` modules are pure functions of what came back, and `points.py` is the
table of all points.
"""
