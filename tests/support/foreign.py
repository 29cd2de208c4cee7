"""A plain RQ job that hangs: RQ finds its function by this module's name."""

import threading

GATE = threading.Event()


def hang() -> None:
    """Wait until the gate is opened."""
    GATE.wait(120)
