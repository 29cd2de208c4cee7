"""What all processes have in common."""

import gc

from jobs.processes import loop


def test_the_collector_leaves_alone_what_a_process_consists_of() -> None:
    """What was there when it began is not looked at again; what comes later is."""
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
