"""The loop of every process."""

import gc

from jobs.processes import loop


def test_startup_objects_are_frozen() -> None:
    """The garbage collector skips what existed at the start, and collects what comes later."""
    was = gc.get_threshold()
    old: list[object] = []
    try:
        loop.freeze_startup_objects()
        new: list[object] = []
        seen = {id(each) for each in gc.get_objects()}
    finally:
        gc.unfreeze()
        gc.set_threshold(*was)

    assert id(old) not in seen
    assert id(new) in seen
