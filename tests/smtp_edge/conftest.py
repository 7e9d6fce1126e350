"""An MX with Ada's domain on it, for the tests of the dialog."""

import pytest

from tests.smtp_edge.listening import World, hosted, listening, route


@pytest.fixture
def world() -> World:
    world = World()
    world.host(
        hosted(
            "example.org",
            route(1, "hi", "friend@there.example"),
            route(2, "team", "one@there.example", "two@there.example"),
        ),
        hosted("other.example", route(7, "hi", "mallory@away.example"), tenant_id=2),
    )
    return world


@pytest.fixture
def mx(world):
    with listening(world) as mx:
        yield mx


LETTER = (
    b"From: Bob <bob@sender.example>\r\nTo: hi@example.org\r\nSubject: Hello\r\n"
    b"\r\nGood morning.\r\n"
)


@pytest.fixture
def letter() -> bytes:
    return LETTER
