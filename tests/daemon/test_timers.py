"""Timers, held to the plainest way of doing the same."""

from hypothesis import given
from hypothesis import strategies as st

from ssh_session_gc.daemon.timers import SLACK, Timers

uids, instants = st.sampled_from("abcdef"), st.integers(0, 5).map(float)
steps = st.one_of(
    st.tuples(st.just("set"), uids, instants),
    st.tuples(st.just("cancel"), uids, st.just(0.0)),
    st.tuples(st.just("take"), st.just(""), instants),
)


@given(st.lists(steps, max_size=60))
def test_they_are_a_dictionary_of_instants(done: list[tuple[str, str, float]]) -> None:
    timers, plain = Timers(), dict[str, float]()
    for what, uid, at in done:
        before = timers.next()
        if what == "set":
            plain[uid] = at
            # Who sleeps until the next is told of all that come before it.
            assert timers.set(uid, at) or (before is not None and before < at)
        elif what == "cancel":
            plain.pop(uid, None)
            timers.cancel(uid)
        else:
            taken = [plain.pop(each) for each in timers.take(at)]
            assert taken == sorted(taken)
            assert all(later > at for later in plain.values())
        assert len(timers) == len(plain)
        assert timers.next() == min(plain.values(), default=None)


def test_the_earliest_come_first() -> None:
    timers = Timers()
    for uid, at in (("b", 2.0), ("a", 1.0), ("c", 3.0), ("d", 1.0)):
        timers.set(uid, at)
    taken = list(timers.take(2.5))
    assert (set(taken[:2]), taken[2:]) == ({"a", "d"}, ["b"])
    assert timers.next() == 3.0


def test_what_is_void_does_not_pile_up() -> None:
    timers = Timers()
    timers.set("stays", 1e9)
    for number in range(10 * SLACK):
        timers.set(f"{number}", 1e6 + number % 100)
        timers.cancel(f"{number}")
        assert timers._entries <= 2 * len(timers) + SLACK + 2
    assert timers.next() == 1e9
