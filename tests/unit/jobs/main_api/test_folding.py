"""jobs/main_api/folding.py: which windows are due, against a walk over all of them."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.main_api.folding import FoldingWindow, Key, Windows
from jobs.main_api.messages import WORLD_TIME_ADVANCED, Message
from jobs.world.clock import WorldTime

LASTS = 5.0
KEYS = [Key(f"c-{n}", WORLD_TIME_ADVANCED) for n in range(4)]


def message(key: Key, hour: int) -> Message:
    return Message(key.kind, key.campaign_id, WorldTime.parse(f"1001-06-01T{hour:02}:00Z"))


class AllOfThem:
    """The same windows, without heaps."""

    def __init__(self) -> None:
        self.windows: dict[Key, FoldingWindow] = {}

    def add(self, key: Key, new: Message) -> None:
        window = self.windows.setdefault(key, FoldingWindow(until=0.0))
        kept = window.pending
        later = kept and kept.world_time and new.world_time and new.world_time < kept.world_time
        window.pending = kept if later else new

    def pending(self) -> list[tuple[float, Key]]:
        return sorted((window.until, key) for key, window in self.windows.items() if window.pending)

    def drop_idle(self, now: float) -> None:
        self.windows = {key: one for key, one in self.windows.items() if one.pending or one.until > now}


STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(KEYS), st.integers(0, 23)),
    st.tuples(st.just("wait"), st.integers(0, 7)),
    st.tuples(st.just("handle"), st.integers(1, 4), st.lists(st.booleans(), min_size=4, max_size=4)),
    st.tuples(st.just("end all")),
)


@given(st.lists(STEPS, max_size=40))
def test_the_same_windows_are_due_as_in_a_walk_over_all(steps: list[tuple[object, ...]]) -> None:
    """Settled or postponed, some or all of them, in any order."""
    windows, walked, now = Windows(), AllOfThem(), 100.0
    for step in steps:
        match step:
            case ("add", Key() as key, int(hour)):
                windows.add(key, message(key, hour))
                walked.add(key, message(key, hour))
            case ("wait", int(seconds)):
                now += seconds
            case ("handle", int(most), list(settled)):
                due = windows.due(now, most)
                assert list(due) == [key for until, key in walked.pending() if until <= now][:most]
                assert list(windows.due(now, most)) == list(due)  # until it is handled
                for is_settled, (key, window) in zip(settled, due.items(), strict=False):
                    assert window.pending == walked.windows[key].pending
                    walked.windows[key].until = now + LASTS
                    if is_settled:
                        windows.settle(key, now + LASTS)
                        walked.windows[key].pending = None
                    else:
                        windows.postpone(key, now + LASTS)
            case _:
                windows.end_all()
                for window in walked.windows.values():
                    window.until = 0.0 if window.pending else window.until
        windows.drop_idle(now)
        walked.drop_idle(now)
        assert len(windows) == len(walked.windows)
        assert windows.next_end() == min((until for until, _ in walked.pending()), default=None)
        assert [windows.is_pending(key) for key in KEYS] == [
            any(key == one for _, one in walked.pending()) for key in KEYS
        ]
