"""A real file: what was confirmed is there in the next life, in order, and what is refused leaves nothing behind."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from journals import BORN_S, HISTORY_SIZE, ME, Desk, clock, held

from adapters import journal as module
from adapters.history_reader import past
from adapters.journal import Journal, JournalBusy
from adapters.journal_file import JournalError, JournalFile
from core.effects import Persist
from core.types import Instant, Ticket
from crdt.fact import Change, Delta, Origin
from crdt.store import Store
from crdt.stream import DELETIONS_KEPT_MAX

OTHER = Origin("7e:00:00:00:00:02", 5)
THIRD = Origin("7e:00:00:00:00:03", 1)
USER_VERSION = slice(60, 64)
"""Bytes of the file. Source: SQLite's file format, §1.3."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.db"


# What is kept.


def test_a_new_journal_is_empty_and_names_this_life_by_the_clock(path: Path) -> None:
    desk = Desk(path)
    assert desk.recovered.origin == Origin(ME, BORN_S)
    assert desk.recovered.streams == ()
    assert desk.journal.recovered_notes == ()
    desk.close()
    again = Desk(path, at=lambda: Instant(0, 2 * BORN_S * 1000))
    assert again.me == desk.me, "a life goes on as long as its journal does"
    again.close()


def test_the_next_life_finds_what_was_confirmed(path: Path) -> None:
    desk = Desk(path)
    assert desk.commit(desk.say("a", b"1"), desk.say("b", b"2"), desk.say("x", b"3", OTHER)) is None
    assert desk.commit(desk.say("a", None)) is None
    assert desk.commit(desk.say("x", b"4", OTHER), sync=False) is None
    desk.close()
    again = Desk(path)
    assert again.store == desk.store
    assert again.recovered.streams == tuple(desk.store.delta_for(origin, 0) for origin in desk.store.origins())
    again.close()


def test_dropped_streams_are_gone_and_may_come_again(path: Path) -> None:
    desk = Desk(path)
    first = desk.say("x", b"1", OTHER)
    desk.commit(first, desk.say("y", b"2", THIRD))
    desk.commit(dropped=(OTHER, Origin("nobody", 1)))
    desk.close()
    again = Desk(path)
    assert again.store.origins() == (THIRD,)
    assert again.commit(first) is None
    again.close()
    assert Desk(path).store.origins() == (OTHER, THIRD)


def test_a_whole_stream_replaces_what_was_held(path: Path) -> None:
    writer, desk = Store(), Desk(path)
    desk.commit(writer.write(OTHER, [Change(f"gone-{index}", "k", b"") for index in range(200)]))
    for index in range(200):
        writer.write(OTHER, [Change(f"gone-{index}", "k", None)])
    whole = writer.delta_for(OTHER, 100)
    assert whole.since == 0
    assert desk.commit(whole) is None
    desk.close()
    assert held(Desk(path).recovered) == writer


@pytest.mark.parametrize("seed", range(12))
def test_the_file_holds_what_a_store_holds_after_the_same_deltas(path: Path, seed: int) -> None:
    entropy = random.Random(seed)
    desk = Desk(path)
    origins = (desk.me, OTHER, THIRD)
    writers, store = Store(), Store()
    for origin in origins:
        writers.write(origin, [Change("first", "k", b"")])
    for _ in range(6 * DELETIONS_KEPT_MAX):
        deltas: list[Delta] = []
        dropped: list[Origin] = []
        for _ in range(entropy.randint(1, 3)):
            origin = entropy.choice(origins)
            # So many deletions that floors rise.
            body = entropy.choice((None, None, None, b"", b"body", bytes(3_000)))
            writers.write(origin, [Change(f"key-{entropy.randint(0, 300)}", "k", body)])
            head = store.head(origin)
            known = 0 if head is None else head.seq
            deltas.append(writers.delta_for(origin, entropy.choice((known, known, known // 2, 0))))
            store.join(deltas[-1])
        if entropy.random() < 0.05:
            dropped.append(OTHER)
            store.drop(OTHER)
        desk.submit(*deltas, dropped=dropped, sync=entropy.random() < 0.3)
    desk.close()
    assert all(why is None for _, why in desk.reports)
    assert max(writers.delta_for(origin, 0).head.floor for origin in origins) > 0
    assert Desk(path).store == store


def test_deletions_are_forgotten_when_the_floor_passes_them(path: Path) -> None:
    desk = Desk(path)
    for index in range(2 * DELETIONS_KEPT_MAX):
        desk.submit(desk.say(f"key-{index}"), desk.say(f"key-{index}", None), desk.say("other"))
    desk.close()
    assert desk.store.delta_for(desk.me, 0).head.floor > 0
    again = Desk(path)
    assert again.journal.recovered_notes == ()
    assert again.store == desk.store
    again.close()


def test_what_is_not_new_changes_nothing(path: Path) -> None:
    desk = Desk(path)
    first, second = desk.say("a"), desk.say("b")
    for delta in (first, second, second, first):
        assert desk.commit(delta) is None
    desk.close()
    assert Desk(path).store == desk.store


def test_a_commit_costs_what_it_changes_and_not_what_is_held(path: Path) -> None:
    desk = Desk(path)
    desk.commit(desk.store.write(desk.me, [Change(f"key-{index}", "k", b"body") for index in range(5_000)]))
    database = desk.journal._file._database
    before = database.total_changes
    desk.commit(desk.say("key-7", b"new"))
    assert database.total_changes - before <= 3
    desk.close()


# In which order, and when.


def test_commits_are_confirmed_in_order_synced_or_not(path: Path) -> None:
    desk = Desk(path)
    tickets = [desk.submit(desk.say(f"key-{index}"), sync=index % 3 == 0) for index in range(100)]
    assert [desk.report() for _ in tickets] == [(ticket, None) for ticket in tickets]
    desk.close()


def test_what_waits_for_the_disk_becomes_one_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    is_free = threading.Event()
    commit = JournalFile.commit

    def slow(self: JournalFile, persists: list[Persist]) -> list[str | None]:
        assert is_free.wait(20)
        batches.append(len(persists))
        return commit(self, persists)

    monkeypatch.setattr(JournalFile, "commit", slow)
    desk = Desk(path)
    for index in range(50):
        desk.submit(desk.say(f"key-{index}"))
    is_free.set()
    desk.close()
    assert sum(batches) == 50
    assert len(batches) <= 2
    assert len(desk.reports) == 50


def test_what_needs_no_sync_waits_for_company(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    commit = JournalFile.commit

    def counted(self: JournalFile, persists: list[Persist]) -> list[str | None]:
        batches.append(len(persists))
        return commit(self, persists)

    monkeypatch.setattr(JournalFile, "commit", counted)
    monkeypatch.setattr(module, "UNSYNCED_WAIT_S", 20.0)
    desk = Desk(path)
    for number in range(10):
        for index in range(3):
            desk.submit(desk.say(f"key-{index}-{number}"), sync=index == 2)
            for _ in range(50):
                # Give the writer every chance to be too early.
                os.sched_yield()
        for _ in range(3):
            desk.report()
    desk.close()
    assert batches == [3] * 10


def test_only_commits_that_ask_for_it_wait_for_the_platters(path: Path) -> None:
    desk = Desk(path)
    said: list[str] = []
    desk.journal._file._database.set_trace_callback(said.append)
    desk.commit(desk.say("a"), sync=False)
    assert said[0] == "PRAGMA synchronous = NORMAL"
    said.clear()
    desk.commit(desk.say("b"), sync=True)
    assert said[0] == "PRAGMA synchronous = FULL"
    assert desk.journal._file._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    desk.close()


def test_closing_writes_what_waits(path: Path) -> None:
    desk = Desk(path)
    for index in range(20):
        desk.submit(desk.say(f"key-{index}"), sync=False)
    desk.close()
    desk.close()
    assert len(desk.reports) == 20
    assert Desk(path).store == desk.store


def test_nobody_listening_any_more_loses_nothing(path: Path) -> None:
    def closed(_: object) -> None:
        raise RuntimeError("Event loop is closed")

    journal, recovered = Journal.open(path, ME, post=closed, clock=clock)
    store = Store()
    for number in (1, 2):
        delta = store.write(recovered.origin, [Change(f"key-{number}", "k", b"")])
        journal.submit(Persist(Ticket(number), (delta,), (), True), lambda *_: None)
    journal.close()
    assert Desk(path).store == store


def test_a_bug_in_the_writer_reaches_the_loop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(JournalFile, "commit", broken)
    desk = Desk(path)
    desk.submit(desk.say("a"))
    with pytest.raises(AssertionError, match="a bug"):
        desk.report()
    desk.close()


# What is refused.


def test_more_than_may_wait_is_refused_in_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_free = threading.Event()
    commit = JournalFile.commit
    monkeypatch.setattr(JournalFile, "commit", lambda self, persists: is_free.wait(20) and commit(self, persists))
    monkeypatch.setattr(module, "QUEUE_SIZE_MAX", 10_000)
    desk = Desk(path)
    tickets = [desk.submit(desk.say(f"key-{index}", bytes(1_500), OTHER)) for index in range(12)]
    is_free.set()
    reports = [desk.report() for _ in tickets]
    assert [ticket for ticket, _ in reports] == tickets
    refused = [why for _, why in reports if why is not None]
    assert 2 <= len(refused) < 12
    assert "already wait for the disk" in refused[0]
    assert desk.commit(desk.store.delta_for(OTHER, 0)) is None, "there is room again"
    desk.close()


def test_a_delta_that_does_not_reach_back_is_refused_whole_and_its_company_is_not(path: Path) -> None:
    desk = Desk(path)
    desk.commit(desk.say("a"))
    desk.say("lost")
    late = desk.say("b")
    ahead = desk.submit(desk.say("x", b"1", OTHER), sync=False)
    gap = desk.submit(desk.say("y", b"1", THIRD), late)
    after = desk.submit(desk.say("x", b"2", OTHER))
    reports = dict(desk.report() for _ in range(3))
    assert reports[ahead] is None
    assert reports[after] is None
    why = reports[gap]
    assert why is not None
    assert f"facts 2 to 2 of {ME} are missing" in why
    desk.close()
    again = Desk(path)
    head = again.store.head(again.me)
    assert head is not None
    assert head.seq == 1
    assert again.store.origins() == (OTHER, again.me), "nothing half done"
    assert again.commit(desk.store.delta_for(desk.me, 1)) is None
    again.close()


def test_a_write_error_is_said_and_the_next_commit_is_tried(path: Path) -> None:
    desk = Desk(path)
    desk.commit(desk.say("a"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("journal.db-wal").stat().st_size, hard))
    try:
        large = desk.say("b", bytes(16_000))
        why = desk.commit(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert why is not None
    assert why.startswith(f"journal {path}: disk I/O error")
    assert str(path.parent) in why
    assert desk.commit(large) is None
    desk.close()
    assert Desk(path).store == desk.store


def test_whatever_goes_wrong_leaves_nothing_behind_and_nothing_in_the_way(path: Path) -> None:
    desk = Desk(path)
    desk.commit(desk.say("a"))
    # An error after which SQLite itself keeps the transaction.
    desk.journal._file._database.execute(
        "CREATE TEMP TRIGGER t BEFORE INSERT ON main.facts WHEN new.key = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    good, bad = desk.say("x", b"1", OTHER), desk.say("bad", b"1", THIRD)
    why = desk.commit(good, bad)
    assert why is not None
    assert "SQLITE_CONSTRAINT" in why
    assert desk.commit(desk.say("b")) is None
    desk.close()
    again = Desk(path)
    assert again.store.stream(again.me) == desk.store.stream(desk.me)
    assert again.store.origins() == (again.me,)
    again.close()


FULL_DISK = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from journals import HISTORY_SIZE, Desk
path = Path(sys.argv[1]) / "journal.db"
desk = Desk(path)
assert desk.commit(desk.say("a", bytes(1000))) is None
ballast = path.with_name("ballast")
with ballast.open("wb", buffering=0) as file:
    try:
        while file.write(bytes(4096)):
            pass
    except OSError:
        pass
large = desk.say("b", bytes(16000))
print(desk.commit(large))
print(desk.commit(large))
ballast.unlink()
print(desk.commit(large))
desk.close()
print(Desk(path).store == desk.store)
"""


def can_mount() -> bool:
    return shutil.which("unshare") is not None and not subprocess.call(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], stderr=subprocess.DEVNULL
    )


@pytest.mark.skipif(not can_mount(), reason="neither root nor user namespaces: cannot make a small disk")
def test_a_full_disk_is_said_with_what_to_do_and_works_again_when_there_is_room(tmp_path: Path) -> None:
    command = f'mount -t tmpfs -o size=256k none {tmp_path} && exec "$@"'
    roots = (str(Path(__file__).parent), str(Path(__file__).parents[3]))
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, "-", sys.executable, "-c", FULL_DISK, str(tmp_path), *roots],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stderr == ""
    text = f"journal {tmp_path}/journal.db: no space left on device; free space under {tmp_path}"
    assert run.stdout.splitlines() == [text, text, "None", "True"]


# Kills.


@pytest.mark.parametrize("lines", [1, 2, 15, 60])
def test_a_killed_process_loses_nothing_that_was_confirmed(path: Path, lines: int) -> None:
    script = Path(__file__).with_name("journals.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(script.parents[3])},
    ) as child:
        assert child.stdout is not None
        incarnation = int(child.stdout.readline().split()[1])
        for _ in range(lines):
            child.stdout.readline()
        child.kill()
        # What it still said before it died counts as well.
        said = [line for line in child.stdout.read().split("\n")[:-1] if line]
    confirmed = int(said[-1]) if said else 3 * lines
    desk = Desk(path, history_size_max=HISTORY_SIZE)
    assert desk.journal.recovered_notes == ()
    assert past(path.with_name("history.db"), desk.at().wall_ms).streams == desk.recovered.streams
    assert desk.me == Origin(ME, incarnation)
    head = desk.store.head(desk.me)
    assert head is not None
    assert head.seq >= confirmed >= 3 * lines
    assert desk.commit(desk.say("after")) is None
    desk.close()


# Who may have it.


def test_a_second_agent_is_told_who_has_it(path: Path) -> None:
    desk = Desk(path)
    with pytest.raises(JournalBusy) as caught:
        Desk(path)
    assert str(path) in str(caught.value)
    assert "stop that one first" in str(caught.value)
    desk.close()
    Desk(path).close()


def test_only_root_can_read_it(path: Path) -> None:
    desk = Desk(path)
    desk.commit(desk.say("a"))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["journal.db", "journal.db-shm", "journal.db-wal", "journal.db.lock"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    desk.close()


def test_a_place_where_nothing_can_be_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"cannot open .*: file exists; it must be a place we may write"):
        Desk(tmp_path / "file" / "journal.db")
    (tmp_path / "dir.db").mkdir()
    with pytest.raises(JournalError, match="is a directory; it must be a file we may write"):
        Desk(tmp_path / "dir.db")
