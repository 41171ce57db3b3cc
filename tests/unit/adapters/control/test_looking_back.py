"""`weave at` and `weave why` against a history file, without an agent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.control import past_verbs
from adapters.control.client import NotRunning, Refused
from adapters.control.looking_back import LookError, NoSuchPart, at, why, why_json, why_text
from adapters.control.past_verbs import BadWords, NoAnswer
from adapters.history import History
from core.config import Config, SeedMode
from core.effects import Persist
from core.ipam.homes import decided_key, ring_id_of
from core.ipam.universe import universe_of
from core.kinds import (
    AddressRecord,
    AttachmentRecord,
    HomeRecord,
    LinkRecord,
    PeerRecord,
    SeedAccepted,
    TargetRecord,
    address_key,
    attachment_key,
    gone,
    home_key,
    link_key,
    peer_key,
    put,
)
from core.types import PeerName, Ticket, address_of
from crdt.fact import Change, Delta, Origin
from crdt.store import Store

ME = PeerName("7e:00:00:00:00:01")
OTHER = PeerName("7e:00:00:00:00:02")
UNIVERSE = universe_of("10.32.0.0/24")
CONFIG = Config(ME, "ann-now", universe=UNIVERSE, seed=SeedMode("seed", (ME, OTHER)))
DAY_MS = 1_700_000_000_000
NOW_MS = DAY_MS + 3_600_000
ADDRESS = address_of("10.32.0.7")


class Diary:
    """Writes facts of two hosts into a history, at seconds after a day's beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store()
        self.history = History(path, self.streams, size_max=1 << 20)
        self.history.begin({}, DAY_MS)

    def streams(self) -> list[Delta]:
        return [self.store.delta_for(origin, 0) for origin in self.store.origins()]

    def write(self, second: int, peer: PeerName, *changes: Change) -> None:
        delta = self.store.write(Origin(peer, 1), changes)
        self.history.learn([(DAY_MS + 1000 * second, Persist(Ticket(1), (delta,), (), sync=True))])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    diary = Diary(tmp_path / "history.db")
    ring = ring_id_of(UNIVERSE, (ME, OTHER))
    for peer, nickname in ((ME, "ann"), (OTHER, "bob")):
        diary.write(
            10,
            peer,
            put(peer_key(), PeerRecord(nickname, "0.1.0", 6783, 0)),
            put(home_key(), HomeRecord(str(UNIVERSE), ring)),
            put(decided_key(UNIVERSE), SeedAccepted(0, ME, (ME, OTHER))),
        )
    diary.write(20, ME, put(link_key(OTHER), LinkRecord("192.0.2.2:6783", True, True, "fastdp")))
    diary.write(20, ME, put("target/192.0.2.2", TargetRecord("192.0.2.2")))
    diary.write(21, OTHER, put(link_key(ME), LinkRecord("192.0.2.1:6783", False, True, "fastdp")))
    diary.write(
        30,
        ME,
        put(address_key("web", ADDRESS), AddressRecord(ADDRESS, 120, "attach", DAY_MS + 30_000)),
        put(
            attachment_key("web", "ethwe"),
            AttachmentRecord("02:00:00:00:00:07", ("10.32.0.7/24",), "/n", True, "attach", DAY_MS + 30_000),
        ),
    )
    diary.write(40, ME, gone(link_key(OTHER), LinkRecord))
    diary.write(
        50,
        ME,
        gone(address_key("web", ADDRESS), AddressRecord),
        gone(attachment_key("web", "ethwe"), AttachmentRecord),
    )
    diary.write(60, OTHER, put(address_key("db", ADDRESS), AddressRecord(ADDRESS, 120, "claim", DAY_MS + 60_000)))
    diary.history.close()
    return diary.path


def ask(path: Path, second: int, what: str, argument: str = "") -> str:
    return at(CONFIG, path, NOW_MS, f"{DAY_MS // 1000 + second}", what, argument)


def test_status_is_as_it_was(path: Path) -> None:
    early, linked, cut = (ask(path, second, "status") for second in (15, 35, 45))
    assert early.startswith(
        "# as of 2023-11-14 22:13:35 UTC on this host; it had learnt the last of it at 2023-11-14 22:13:30\n"
    )
    assert "Name: 7e:00:00:00:00:01(ann)" in early, "the nickname of then"
    assert "Connections: 0\n" in early
    assert "Connections: 1 (1 established)" in linked
    assert "Peers: 2 (with 2 established connections)" in linked
    assert "Connections: 0\n" in cut
    assert "Status: ready" in early


def test_the_range_is_that_of_then(path: Path) -> None:
    for universe in (None, universe_of("10.99.0.0/16")):
        moved = replace(CONFIG, universe=universe)
        assert "Range: 10.32.0.0/24" in at(moved, path, NOW_MS, f"{DAY_MS // 1000 + 35}", "status", "")


def test_the_parts_of_status_are_as_they_were(path: Path) -> None:
    assert "-> 192.0.2.2:6783        established fastdp 7e:00:00:00:00:02(bob)" in ask(
        path, 35, "status", "connections"
    )
    assert "7e:00:00:00:00:02(bob)" in ask(path, 35, "status", "peers")
    assert ask(path, 35, "status", "targets").endswith("\n192.0.2.2\n")
    ipam = ask(path, 35, "status", "ipam")
    assert "(ann)                     128 IPs (50.0% of total) (1 active)" in ipam
    assert "unreachable" not in ipam
    assert "unreachable!" in ask(path, 45, "status", "ipam")
    assert "02:00:00:00:00:07 10.32.0.7/24" in ask(path, 35, "ps")
    assert "02:00:00:00:00:07" not in ask(path, 55, "ps")


def test_the_report_says_as_of_when_and_takes_a_template(path: Path) -> None:
    found = json.loads(ask(path, 35, "report"))
    assert found["AsOf"] == {
        "AskedMS": DAY_MS + 35_999,
        "LearntMS": DAY_MS + 30_000,
        "Entry": found["AsOf"]["Entry"],
        "ClockWasSetBack": False,
        "Gap": "",
    }
    assert found["IPAM"]["ActiveIPs"] == 1
    assert ask(path, 35, "report", "{{.Router.NickName}}") == "ann"
    with pytest.raises(LookError, match="field Nothing"):
        ask(path, 35, "report", "{{.Nothing}}")


def test_why_at_some_time_knows_nothing_of_later(path: Path) -> None:
    assert "10.32.0.7 is held by web on ann\n" in ask(path, 35, "why", "10.32.0.7")
    gone_since = ask(path, 55, "why", "10.32.0.7")
    assert "10.32.0.7 is held by nobody\n" in gone_since
    assert "ann took it back from web" in gone_since
    assert "bob" not in gone_since.partition("its range")[0]


def test_why_now_tells_who_had_it_before(path: Path) -> None:
    found = why(CONFIG, path, NOW_MS, None, "10.32.0.7")
    text = why_text(found)
    assert text.startswith(
        "10.32.0.7 is held by db on bob\n"
        "  2023-11-14 22:14:20  bob gave it to db (claim)  [7e:00:00:00:00:02@1 #5]\n"
        "  2023-11-14 22:14:10    ann took it back from web  [7e:00:00:00:00:01@1 #9]\n"
        "  2023-11-14 22:13:50    before, ann had given it to web (attach)  [7e:00:00:00:00:01@1 #6]\n"
    )
    read = json.loads(why_json(found))
    assert (read["kind"], read["steps"][0]["at_ms"]) == ("address", DAY_MS + 60_000)


def test_what_cannot_be_printed_is_not(path: Path, tmp_path: Path) -> None:
    diary = Diary(tmp_path / "other.db")
    diary.write(1, OTHER, put(peer_key(), PeerRecord("a\x1b[2J\nb", "0.1.0", 6783, 0)))
    text = why_text(why(CONFIG, None, NOW_MS, diary.streams(), OTHER))
    assert text.startswith("a?[2J?b (7e:00:00:00:00:02) cannot be reached from here\n")


def test_why_needs_no_history(path: Path, tmp_path: Path) -> None:
    diary = Diary(tmp_path / "other.db")
    diary.write(1, ME, put(peer_key(), PeerRecord("ann", "0.1.0", 6783, 0)))
    assert why(CONFIG, None, NOW_MS, diary.streams(), "ann").headline == f"ann ({ME}) is this host"
    path.write_bytes(b"rubbish" * 1000)
    found = why(CONFIG, path, NOW_MS, diary.streams(), "10.32.0.7")
    assert any("cannot be read" in step.text for step in found.steps)


def test_what_cannot_be_asked_is_refused(path: Path) -> None:
    with pytest.raises(NoSuchPart):
        ask(path, 35, "status", "everything")
    with pytest.raises(NoSuchPart):
        ask(path, 35, "sing")
    with pytest.raises(LookError, match="begins at 2023-11-14 22:13:20"):
        at(CONFIG, path, NOW_MS, "2023-11-14T22:00:00Z", "status", "")
    with pytest.raises(LookError, match="there is no history"):
        at(CONFIG, path.with_name("none"), NOW_MS, "-1m", "status", "")


# Words.


class Asked(Exception):
    """The path that was asked for."""


def asked(*words: str, verb: str = "at") -> str:
    def record(_method: str, path: str) -> str:
        raise Asked(path)

    with pytest.raises(Asked) as caught:
        past_verbs.VERBS[verb](list(words), record, lambda: None)
    return str(caught.value)


def test_words_become_a_question() -> None:
    assert asked("-5m", "status") == "/at?time=-5m&what=status&argument="
    assert asked("5m", "ago", "status", "ipam") == "/at?time=5m+ago&what=status&argument=ipam"
    assert asked("2026-11-25", "10:15", "ps", "web") == "/at?time=2026-11-25+10%3A15&what=ps&argument="
    assert asked("10:15", "report", "-f", "{{.A}}") == "/at?time=10%3A15&what=report&argument=%7B%7B.A%7D%7D"
    assert asked("10:15", "why", "a b") == "/at?time=10%3A15&what=why&argument=a+b"
    assert asked("--json", "web", verb="why") == "/why?what=web&format=json"


@pytest.mark.parametrize(
    "words",
    [(), ("-5m",), ("-5m", "sing"), ("-5m", "status", "a", "b"), ("-5m", "report", "-f"), ("-5m", "why"), ("ago",)],
)
def test_other_words_make_no_sense(words: tuple[str, ...]) -> None:
    with pytest.raises(BadWords):
        past_verbs.at(list(words), lambda *_: "", lambda: None)


@pytest.mark.parametrize("words", [(), ("a", "b"), ("--yaml",), ("--json",)])
def test_why_wants_one_word(words: tuple[str, ...]) -> None:
    with pytest.raises(BadWords):
        past_verbs.why(list(words), lambda *_: "", lambda: None)


def test_ps_shows_the_containers_that_were_asked_for() -> None:
    answer = "# as of then\nweb 02:00 10.1/8\ndb 02:01 10.2/8\n"
    assert past_verbs.at(["-5m", "ps", "db"], lambda *_: answer, lambda: None) == "# as of then\ndb 02:01 10.2/8\n"


def test_a_refusal_is_passed_on() -> None:
    def refuse(*_: str) -> str:
        raise Refused("no such time")

    with pytest.raises(NoAnswer, match="no such time"):
        past_verbs.at(["-5m", "status"], refuse, lambda: None)


def test_without_an_agent_the_file_is_read(path: Path) -> None:
    class Last:
        config = CONFIG
        data = path.parent

    def silent(*_: str) -> str:
        raise NotRunning

    assert "(ann)" in past_verbs.at([str(DAY_MS // 1000 + 35), "status"], silent, Last)
    assert past_verbs.why(["10.32.0.7"], silent, Last).startswith("10.32.0.7 is held by db on bob\n")
    with pytest.raises(NoAnswer, match="in the future"):
        past_verbs.at(["2999-01-01", "status"], silent, Last)
