"""What the history tells of the past, and that nothing depends on it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from journals import ME

from adapters import history as history_module
from adapters.history import History
from adapters.history_reader import HistoryError, learnt, past
from adapters.journal import Journal
from core.effects import Persist
from core.types import Instant, Ticket
from crdt.fact import Change, Delta, Origin
from crdt.store import Store

OTHER = Origin("7e:00:00:00:00:02", 5)
MIB = 1024 * 1024


class Host:
    """A store whose every change is committed to a history, at times that the test chooses."""

    def __init__(self, path: Path, size_max: int = MIB) -> None:
        self.path = path
        self.size_max = size_max
        self.store = Store()
        self.last = 0
        self.history = self.open(0)

    def streams(self) -> list[Delta]:
        return [self.store.delta_for(origin, 0) for origin in self.store.origins()]

    def open(self, at_ms: int) -> History:
        self.history = History(self.path, self.streams, size_max=self.size_max)
        heads = {delta.origin: (delta.head.seq, delta.head.fingerprint) for delta in self.streams()}
        self.history.begin(heads, at_ms)
        return self.history

    def restart(self, at_ms: int) -> None:
        self.history.close()
        self.open(at_ms)

    def say(self, at_ms: int, key: str, body: bytes | None = b"body", origin: Origin = OTHER) -> None:
        self.commit(at_ms, self.store.write(origin, [Change(key, "kind.1", body)]))

    def commit(self, at_ms: int, *deltas: Delta, dropped: tuple[Origin, ...] = ()) -> None:
        self.last += 1
        self.history.learn([(at_ms, Persist(Ticket(self.last), deltas, dropped, sync=True))])

    def at(self, at_ms: int) -> Store:
        store = Store()
        for delta in past(self.path, at_ms).streams:
            store.join(delta)
        return store


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "history.db")


def test_the_past_is_as_it_was_at_every_moment(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "SEGMENTS", 64)
    entropy = random.Random(5)
    seen = []
    origins = [OTHER, Origin(ME, 1), Origin(ME, 2)]
    for number in range(1, 900):
        origin = entropy.choice(origins)
        if number % 97 == 0 and host.store.drop(origin):
            host.commit(number, dropped=(origin,))
        elif number % 31 == 0:
            # So much was said that deletions are forgotten: the stream comes whole, as to one who was away.
            gone = [Change(f"k{key}", "kind.1", None) for key in range(90)]
            host.store.write(origin, [*gone, Change("k1", "kind.1", b"again")])
            host.commit(number, host.store.delta_for(origin, 0))
        else:
            host.say(number, f"k{entropy.randrange(90)}", entropy.choice((None, bytes(entropy.randrange(200)))), origin)
        if number % 211 == 0:
            host.restart(number)
        seen.append((number, host.store.copy()))
    assert host.history.trouble == ""
    with sqlite3.connect(host.path) as database:
        assert database.execute("SELECT count(*) FROM segments").fetchone()[0] > 2, "more than one was read"
    for number, store in entropy.sample(seen, 40):
        assert host.at(number) == store, number


def test_a_restart_with_nothing_new_costs_nothing(host: Host) -> None:
    host.say(10, "a")
    for at_ms in range(20, 30):
        host.restart(at_ms)
    with sqlite3.connect(host.path) as database:
        assert database.execute("SELECT count(*) FROM segments").fetchone()[0] == 1


def test_what_is_forgotten_and_heard_again_at_once_is_held(host: Host) -> None:
    host.say(10, "a")
    whole = host.store.delta_for(OTHER, 0)
    commits = (Persist(Ticket(1), (), (OTHER,), sync=True), Persist(Ticket(2), (whole,), (), sync=True))
    host.history.learn([(20, commit) for commit in commits])
    assert host.at(25) == host.store
    host.restart(30)
    assert host.at(30) == host.store
    with sqlite3.connect(host.path) as database:
        assert database.execute("SELECT count(*) FROM segments").fetchone()[0] == 1


def test_before_the_beginning_nothing_is_known(host: Host) -> None:
    host.restart(5)
    host.say(10, "a")
    with pytest.raises(HistoryError, match="begins at 1970-01-01 00:00:00"):
        past(host.path, -1)
    with pytest.raises(HistoryError, match="there is no history"):
        past(host.path.with_name("none.db"), 1)


def test_a_clock_that_is_set_back_is_said(host: Host) -> None:
    host.say(1_000, "a")
    host.say(2_000, "b")
    host.say(1_500, "c")
    found = past(host.path, 1_600)
    assert (found.entry_ms, found.is_stepped) == (1_500, True)
    assert host.at(1_600) == host.store
    found = past(host.path, 1_200)
    assert (found.entry_ms, found.is_stepped) == (1_000, False)


def test_a_journal_from_a_backup_begins_a_segment_and_says_so(host: Host) -> None:
    host.say(10, "a")
    old = host.store.copy()
    host.say(20, "b")
    newer = host.store.copy()
    host.store = old
    host.restart(30)
    assert host.at(29) == newer
    assert "its journal was replaced" in past(host.path, 29).gap
    assert host.at(30) == old


def test_what_is_beyond_the_size_is_forgotten_and_the_rest_can_be_read(tmp_path: Path) -> None:
    host = Host(tmp_path / "history.db", size_max=64 * 1024)
    for number in range(1, 2_000):
        host.say(number, f"k{number % 10}", bytes(200))
    with sqlite3.connect(host.path) as database:
        total = database.execute("SELECT sum(length(body)) FROM entries").fetchone()[0]
        oldest = database.execute("SELECT min(at_ms) FROM segments").fetchone()[0]
    assert 40 * 1024 < total < 70 * 1024
    assert oldest > 1_000
    with pytest.raises(HistoryError, match="begins"):
        past(host.path, oldest - 1)
    assert host.at(1_999) == host.store
    assert host.path.stat().st_size < 400 * 1024


def test_what_is_too_old_is_forgotten(host: Host) -> None:
    day_ms = 86_400_000
    for day in range(20):
        host.say(day * day_ms, f"k{day}")
    with sqlite3.connect(host.path) as database:
        oldest = database.execute("SELECT min(at_ms) FROM segments").fetchone()[0]
    assert oldest == (19 - 7) * day_ms


def test_a_store_beyond_the_limit_is_said(tmp_path: Path) -> None:
    host = Host(tmp_path / "history.db", size_max=4 * 1024)
    host.say(1, "a", bytes(3_000))
    host.restart(2)
    host.store.write(OTHER, [Change("b", "kind.1", b"")])
    host.restart(3)
    assert "--history-size" in host.history.trouble


def damage(path: Path) -> None:
    path.write_bytes(b"\xff" * 8192)


def make_foreign(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (x)")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6_000])


@pytest.mark.parametrize("spoil", [damage, make_foreign, cut_off])
def test_a_damaged_file_is_begun_anew(host: Host, spoil: Callable[[Path], None]) -> None:
    host.say(10, "a")
    host.history.close()
    spoil(host.path)
    with pytest.raises(HistoryError):
        past(host.path, 10)
    host.open(20)
    host.say(30, "b")
    assert host.at(30) == host.store
    with pytest.raises(HistoryError, match="begins"):
        past(host.path, 19)


def test_an_entry_that_was_changed_is_found_out(host: Host) -> None:
    host.say(10, "a", b"harmless")
    host.history.close()
    host.path.write_bytes(host.path.read_bytes().replace(b"harmless", b"harmful!"))
    with pytest.raises(HistoryError, match="damaged"):
        past(host.path, 10)


def test_a_disk_that_refuses_costs_a_gap_and_no_more(host: Host) -> None:
    host.say(10, "a")
    before = host.store.copy()
    other = sqlite3.connect(host.path, isolation_level=None)
    pages = other.execute("PRAGMA page_count").fetchone()[0]
    other.close()
    assert host.history._database is not None
    host.history._database.execute(f"PRAGMA max_page_count = {pages}")
    host.say(20, "b", bytes(16_000))
    host.say(25, "c", bytes(16_000))
    assert "full" in host.history.trouble
    host.history._database.execute("PRAGMA max_page_count = 100000")
    host.say(30, "d")
    assert host.history.trouble == ""
    assert host.at(29) == before
    assert "full" in past(host.path, 29).gap
    assert host.at(30) == host.store


def test_everything_that_was_ever_said_under_a_key_is_found_once(host: Host) -> None:
    host.say(10, "ip/c1/a200001", b"1")
    host.restart(15)
    host.say(20, "ip/c1/a200001", None)
    host.say(30, "ip/c2/a200001", b"2")
    host.say(40, "ip/c2/a200002", b"3")
    found = learnt(host.path, ["/a200001"])
    assert [(one.at_ms, one.fact.key, one.fact.body) for one in found] == [
        (10, "ip/c1/a200001", b"1"),
        (20, "ip/c1/a200001", None),
        (30, "ip/c2/a200001", b"2"),
    ]
    assert len(learnt(host.path, ["/a200001"], until=found[1].number)) == 2


def test_a_journal_writes_a_history_beside_it(tmp_path: Path) -> None:
    now_ms = 1_000
    journal, recovered = Journal.open(
        tmp_path / "journal.db",
        ME,
        post=lambda report: report(),
        clock=lambda: Instant(0, now_ms),
        history_size_max=MIB,
    )
    store = Store()
    delta = store.write(recovered.origin, [Change("a", "kind.1", b"1")])
    journal.submit(Persist(Ticket(1), (delta,), (), sync=True), lambda *_: None)
    journal.close()
    assert past(tmp_path / "history.db", now_ms).streams == (store.delta_for(recovered.origin, 0),)


def test_a_history_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "history.db").mkdir()
    journal, _ = Journal.open(tmp_path / "journal.db", ME, post=lambda report: report(), history_size_max=MIB)
    assert journal.history_trouble.startswith("nothing is added to the history: ")
    journal.close()
