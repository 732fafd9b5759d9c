"""What logs say that are read once: each line by its own time, whatever else is among them."""

from ssh_session_gc.cluster.logbook import Logbook
from ssh_session_gc.core.connections import UNHEARD, Moment
from tests.builders import session
from tests.containerssh.test_log import AT, DISCONNECTED, GIVING_UP, ID, STAMP


def test_lines_are_taken_in_for_the_sessions_that_they_name() -> None:
    named, other = session(uid="x", connection_id=ID), session(uid="y", connection_id="0" * 32)
    book = Logbook([named, other])
    for text in (b"", b"panic: nothing of ours", STAMP + DISCONNECTED, STAMP + DISCONNECTED[:-1]):
        book.take(text, "ssh-a")
    said = book.connections()
    assert said.keys() == {"x", "y"}
    assert (said["x"].speaker, said["x"].closed) == ("ssh-a", Moment(AT, AT))
    assert said["y"] is UNHEARD


def test_what_was_given_up_is_told_by_the_name_of_its_pod() -> None:
    pods = [session(uid=name, name=name, connection_id=ID, attached=True) for name in ("containerssh-xzzck", "s")]
    book = Logbook(pods)
    book.take(STAMP + GIVING_UP, "ssh-a")
    assert [each.given_up for each in book.connections().values()] == [AT, None]
