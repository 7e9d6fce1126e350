"""The database goes, hangs, comes back, or the edge dies: nothing is lost, nothing doubled."""

import os
import threading
import time

import pytest

from tests.smtp_edge.between import Between
from tests.smtp_edge.dying_edge import POINTS
from tests.smtp_edge.edge_process import database_name, edge
from tests.smtp_edge.test_process import ada_with_a_route, content_of, queued  # noqa: F401
from tests.timing import eventually

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = b"Subject: large\r\n\r\n" + b"some more text\r\n" * 60_000


@pytest.fixture
def between():
    middle = Between(os.environ["DATABASE_URL"])
    yield middle
    middle.close()


@pytest.fixture
def mx(ada_with_a_route, between, tmp_path):  # noqa: F811
    url = between.url(os.environ["DATABASE_URL"], database_name())
    command = ("-m", "tests.smtp_edge.impatient_edge")
    with edge(tmp_path, url=url, command=command) as running:
        yield running


class Crowd:
    """Many clients that each send one letter; the replies to RCPT or to the dot."""

    def __init__(self, mx, count: int, letter: bytes) -> None:
        self.replies: list[str] = []
        self.slowest = 0.0
        self._mx, self._letter = mx, letter
        self._threads = [threading.Thread(target=self._send) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        client = self._mx.connect()
        began = time.monotonic()
        reply = client.mail("bob@sender.example", "hi@example.org")
        if reply.startswith("250"):
            reply = client.data(self._letter)
        self.replies.append(reply)
        self.slowest = max(self.slowest, time.monotonic() - began)
        client.close()

    def wait(self) -> "Crowd":
        for thread in self._threads:
            thread.join(60)
        return self

    def answered(self, code: str) -> int:
        return sum(reply.startswith(code) for reply in self.replies)


def test_a_database_that_is_stopped_costs_no_mail_and_needs_no_restart(mx, between, letter):
    assert Crowd(mx, 5, letter).wait().answered("250") == 5
    between.stop()

    away = Crowd(mx, 200, letter).wait()

    assert away.answered("451 4.3.0") == 200
    between.start()
    eventually(lambda: mx.connect().deliver(letter, "hi@example.org").startswith("250"))
    back = Crowd(mx, 20, letter).wait()
    assert back.answered("250") == 20
    assert len(queued()) == 26


def test_the_first_message_after_a_restart_of_the_database_is_kept(mx, between, letter):
    client = mx.connect()
    assert client.deliver(letter, "hi@example.org").startswith("250")

    between.stop()
    between.start()

    client.mail("bob@sender.example", "hi@example.org")
    assert client.data(letter).startswith("250")


def test_a_database_that_hangs_gets_everyone_answered_and_keeps_no_ghosts(mx, between, letter):
    assert Crowd(mx, 1, letter).wait().answered("250") == 1
    before = mx.memory_octets()
    between.freeze()

    crowd = Crowd(mx, 100, letter).wait()

    assert crowd.answered("451 4.3.0") == 100
    assert crowd.slowest < 20, "two waits of two seconds each, on a busy machine"
    assert mx.memory_octets() - before < 100 * 1024 * 1024
    between.wake()
    time.sleep(3)
    eventually(lambda: len(queued()) == 1)
    assert Crowd(mx, 20, letter).wait().answered("250") == 20
    assert len(queued()) == 21


def test_what_was_inside_commit_when_the_database_hung_is_withdrawn(mx, between, letter):
    client = mx.connect()
    client.deliver(letter, "hi@example.org")
    client.mail("bob@sender.example", "hi@example.org")
    between.freeze_at = b"COMMIT"

    reply = client.data(letter)

    assert reply.startswith("451 4.3.0")
    assert between.is_frozen
    between.wake()
    eventually(lambda: "mail.withdrawn" in mx.log.read_text())
    assert '"withdrawn": 1' in mx.log.read_text()
    assert len(queued()) == 1


def test_a_hanging_look_up_is_answered_too(mx, between):
    client = mx.connect()
    client.mail("bob@sender.example")
    between.freeze()
    began = time.monotonic()

    reply = client.say("RCPT TO:<hi@never-asked.example>")

    assert reply.startswith("451 4.3.0")
    assert time.monotonic() - began < 20
    between.wake()
    asked = "RCPT TO:<hi@never-asked.example>"
    eventually(lambda: client.say(asked).startswith("550 5.7.1"), 20, every=1)


def test_a_change_that_nobody_told_us_of_counts_when_the_database_is_back(
    mx,
    between,
    ada_with_a_route,  # noqa: F811
):
    client = mx.connect()
    client.mail("bob@sender.example")
    assert client.say("RCPT TO:<new@example.org>").startswith("550 5.1.1")

    between.stop()
    ada_with_a_route.has_route("new@example.org", "friend@there.example")
    between.start()
    time.sleep(2)

    eventually(lambda: client.say("RCPT TO:<new@example.org>").startswith("250"), 5, every=0.5)


@pytest.mark.parametrize("survived", [0, 2])
@pytest.mark.parametrize("point", POINTS)
def test_an_edge_that_is_killed_leaves_whole_messages_or_none(
    ada_with_a_route,  # noqa: F811
    tmp_path,
    letter,
    point,
    survived,
):
    octets = LARGE if point == "piece stored" else letter
    command = ("-m", "tests.smtp_edge.dying_edge")
    with edge(tmp_path, command=command, DIE_AT=f"{point}:{survived}") as mx:
        replies = []
        with pytest.raises(OSError):  # noqa: PT012
            for _ in range(5):
                replies.append(mx.connect().deliver(octets, "hi@example.org"))
        assert mx.process.wait(60) == -9

    assert all(reply.startswith("250") for reply in replies)
    kept = queued()
    # What was committed when it died may be there without a 250 (RFC 1047), and is whole.
    assert len(kept) - len(replies) == (point == "committed")
    assert all(content_of(one.message).endswith(octets) for one in kept)
