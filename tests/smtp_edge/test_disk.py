"""A disk that fills up: mail is put off while there is still room for what is queued."""

import os
from types import SimpleNamespace

import psycopg
import pytest
from django.db import OperationalError

from smtp_edge import disk
from smtp_edge.disk import CHECK_SECONDS, FreeSpace
from smtp_edge.ports import NoSpace, ServiceAway
from tests.smtp_edge.listening import listening

GB = 1_000_000_000


@pytest.fixture
def free(monkeypatch):
    """A file system whose size and free space the test sets."""
    chosen = SimpleNamespace(size=100 * GB, free=50 * GB, asked=0)

    def statvfs(path):
        chosen.asked += 1
        blocks = {"f_blocks": chosen.size // 4096, "f_bavail": chosen.free // 4096}
        return SimpleNamespace(f_frsize=4096, **blocks)

    monkeypatch.setattr(os, "statvfs", statvfs)
    return chosen


@pytest.mark.parametrize(
    ("size", "free_octets", "floor", "room"),
    [
        (100 * GB, 3 * GB, None, True),
        (100 * GB, 1.9 * GB, None, False),
        (10 * GB, 0.6 * GB, None, True),  # 5 % is less than 2 GB
        (10 * GB, 0.4 * GB, None, False),
        (100 * GB, 3 * GB, 4 * GB, False),
    ],
)
def test_the_floor_is_2_gb_or_5_percent_or_as_set(free, tmp_path, size, free_octets, floor, room):
    free.size, free.free = size, int(free_octets)

    assert FreeSpace(tmp_path, floor).has_room(0) is room


def test_a_declared_size_counts_against_the_floor(free, tmp_path):
    free.free = int(2.01 * GB)
    space = FreeSpace(tmp_path)

    assert space.has_room(1_000_000)
    assert not space.has_room(20_000_000)


def test_the_file_system_is_asked_every_two_seconds_and_recovery_is_noticed(free, tmp_path):
    now = [100.0]
    space = FreeSpace(tmp_path, clock=lambda: now[0])
    free.free = 1 * GB
    assert not any(space.has_room(0) for _ in range(100))
    assert free.asked == 1

    free.free = 50 * GB
    now[0] += CHECK_SECONDS

    assert space.has_room(0)


def test_mail_is_answered_452_while_there_is_no_room(world, letter):
    room = [False]
    with listening(world, has_room=lambda size: room[0]) as mx:
        client = mx.connect()
        assert client.say("MAIL FROM:<bob@sender.example>").startswith("452 4.3.1")

        room[0] = True

        assert client.deliver(letter, "hi@example.org").startswith("250")


def test_a_full_disk_of_any_database_is_told_from_one_that_is_away():
    full = OperationalError("could not extend file")
    full.__cause__ = psycopg.errors.DiskFull("could not extend file")

    assert isinstance(disk.away(full, "away"), NoSpace)
    assert type(disk.away(OperationalError("gone"), "away")) is ServiceAway
