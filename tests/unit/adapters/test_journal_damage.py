"""A damaged or foreign file: found out, set aside, never taken for the truth."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from journals import BORN_S, ME, Desk

from adapters.journal_file import JournalError
from core.types import Instant, PeerName
from crdt.fact import Origin
from crdt.store import Store

OTHER = Origin("7e:00:00:00:00:02", 5)
THIRD = Origin("7e:00:00:00:00:03", 1)
USER_VERSION = slice(60, 64)
"""Bytes of the file. Source: SQLite's file format, §1.3."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.db"


def filled(path: Path, *, peer: PeerName = ME) -> Store:
    """Make a journal with streams of three origins, and return what is in it."""
    desk = Desk(path, peer)
    for index in range(40):
        body = f"own-{index:03}-".encode() * 20
        desk.submit(desk.say(f"key-{index}", body), desk.say(f"key-{index}", b"other-" * 30, OTHER))
    desk.submit(desk.say("key", b"third", THIRD))
    desk.close()
    return desk.store


def overwrite(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert content.count(old) >= 1
    path.write_bytes(content.replace(old, new, 1))


def test_a_foreign_stream_that_is_wrong_is_forgotten_and_heard_again(path: Path) -> None:
    store = filled(path)
    overwrite(path, b"third", b"thirD")
    desk = Desk(path)
    (note,) = desk.journal.recovered_notes
    assert THIRD.peer in note
    assert desk.me == Origin(ME, BORN_S)
    assert desk.store.origins() == (OTHER, desk.me)
    assert desk.commit(store.delta_for(THIRD, 0)) is None
    desk.close()
    again = Desk(path)
    assert again.store == store
    assert again.journal.recovered_notes == ()
    again.close()


def test_a_wrong_stream_of_our_own_begins_a_new_life(path: Path) -> None:
    store = filled(path)
    overwrite(path, b"own-007-", b"own-008-")
    desk = Desk(path)
    lost, consequence = desk.journal.recovered_notes
    assert ME in lost
    assert "new incarnation" in consequence
    assert desk.me == Origin(ME, BORN_S + 1), "more than the clock says, for that was used"
    assert desk.store.origins() == (OTHER, THIRD)
    assert desk.store.stream(OTHER) == store.stream(OTHER)
    desk.close()
    assert Desk(path).me == Origin(ME, BORN_S + 1)


def test_the_newest_life_of_ours_is_the_present_one(path: Path) -> None:
    desk = Desk(path)
    reborn = Origin(ME, desk.me.incarnation + 3)
    desk.commit(desk.say("a"), desk.say("a", b"2", reborn))
    desk.close()
    again = Desk(path)
    assert again.me == reborn
    assert len(again.recovered.streams) == 2
    again.close()


@pytest.mark.parametrize(
    "change",
    [
        "seq = seq + 1",
        "floor = 1",
        "peer = '7e:21:4a:70:2f:44'",
        "incarnation = incarnation + 1",
        "incarnation = incarnation - 1",
        "incarnation = 4611686018427387904",
        "fingerprint = zeroblob(16)",
    ],
)
def test_a_wrong_head_of_our_own_begins_a_new_life_with_a_name_that_can_be_followed(path: Path, change: str) -> None:
    filled(path)
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE streams SET {change} WHERE peer = '{ME}'")
    database.close()
    desk = Desk(path)
    assert "new incarnation" in desk.journal.recovered_notes[-1]
    assert BORN_S < desk.me.incarnation <= BORN_S + 2
    assert desk.store.origins() == (OTHER, THIRD)
    assert desk.commit(desk.say("a")) is None
    desk.close()
    again = Desk(path)
    assert again.me == desk.me
    assert again.store == desk.store
    again.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + bytes(84), b"\xff" * 8192])
def test_garbage_is_set_aside_and_a_new_journal_begun(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    desk = Desk(path)
    (note,) = desk.journal.recovered_notes
    assert "was set aside as journal.db.corrupt-1" in note
    assert path.with_name("journal.db.corrupt-1").read_bytes() == content
    assert desk.me == Origin(ME, BORN_S)
    assert desk.commit(desk.say("a")) is None
    desk.close()
    path.write_bytes(content)
    second = Desk(path)
    assert "journal.db.corrupt-2" in second.journal.recovered_notes[0]
    second.close()


@pytest.mark.parametrize("new", [b"checksum BLO\xff", b"checkSum BLOB", b"chequsum BLOB", b"checksum BLO("])
def test_damaged_tables_are_set_aside(path: Path, new: bytes) -> None:
    filled(path)
    overwrite(path, b"checksum BLOB", new)
    desk = Desk(path)
    assert "was set aside" in desk.journal.recovered_notes[0]
    assert desk.recovered.streams == ()
    assert desk.me == Origin(ME, BORN_S) or desk.me == Origin(ME, BORN_S + 1)
    desk.close()


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"")
    desk = Desk(path)
    assert desk.journal.recovered_notes == ()
    desk.close()


def test_the_journal_of_another_peer_is_set_aside(path: Path) -> None:
    filled(path, peer=PeerName("7e:00:00:00:00:99"))
    desk = Desk(path)
    (note,) = desk.journal.recovered_notes
    assert f"it belongs to the peer 7e:00:00:00:00:99, this one is {ME}" in note
    assert desk.recovered.streams == ()
    desk.close()


def test_the_database_of_another_program_is_set_aside_whole(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (x)")
        database.execute("INSERT INTO theirs VALUES (42)")
    database.close()
    desk = Desk(path)
    assert "another program" in desk.journal.recovered_notes[0]
    with sqlite3.connect(path.with_name("journal.db.corrupt-1")) as database:
        assert database.execute("SELECT x FROM theirs").fetchone() == (42,)
    database.close()
    desk.close()


def test_a_journal_from_the_future_is_left_alone(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    content = path.read_bytes()
    with pytest.raises(JournalError, match=r"written by a newer version \(schema 99"):
        Desk(path)
    assert path.read_bytes() == content


def test_a_new_life_never_takes_an_old_ones_name_though_the_clock_went_back(path: Path) -> None:
    filled(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        # The last pages are gone, the first ones, with our name, are not.
        file.truncate(size - 8192)
    desk = Desk(path, at=lambda: Instant(0, 5_000))
    assert "set aside" in desk.journal.recovered_notes[0]
    assert desk.me.incarnation == BORN_S + 1
    desk.close()


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_to_the_bytes_only_verified_streams_come_back(path: Path, seed: int) -> None:
    entropy = random.Random(seed)
    store = filled(path)
    intact = path.read_bytes()
    content = bytearray(intact)
    match seed % 3:
        case 0:
            for _ in range(entropy.choice((1, 1, 10))):
                content[entropy.randrange(len(content))] ^= 1 << entropy.randrange(8)
        case 1:
            at = entropy.randrange(len(content))
            content[at : at + 512] = entropy.randbytes(len(content[at : at + 512]))
        case 2:
            del content[entropy.randrange(100, len(content)) :]
    # Whether a newer version wrote it is no question of this test.
    content[USER_VERSION] = intact[USER_VERSION]
    path.write_bytes(content)
    desk = Desk(path)
    for origin in desk.store.origins():
        assert desk.store.stream(origin) == store.stream(origin)
    assert desk.me.incarnation == BORN_S or desk.journal.recovered_notes
    if desk.me == Origin(ME, BORN_S) and not desk.journal.recovered_notes:
        assert desk.store == store
    assert desk.commit(desk.say("after")) is None
    desk.close()
