"""Anything from outside, in-process: it may be refused, it must not break, stall or do something twice.

`make fuzz` tries EXAMPLES times as many inputs as `make test`, and prints how many there were.
"""
