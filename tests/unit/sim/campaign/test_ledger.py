"""The file of a campaign survives being killed, and is never overwritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from results import GOOD, bad, good

from sim.campaign.ledger import Ledger, LedgerError
from sim.campaign.result import line_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "campaign.jsonl"
    ledger = Ledger(path, profile="all", is_resumed=False)
    for result in (good(1), bad(2)):
        ledger.add(result)
    ledger.close()
    return path


def resumed(path: Path) -> Ledger:
    ledger = Ledger(path, profile="all", is_resumed=True)
    ledger.close()
    return ledger


def test_what_was_done_is_there_again(path: Path) -> None:
    assert resumed(path).done == {1: good(1), 2: bad(2)}


def test_a_file_is_gone_on_with_only_when_asked(path: Path) -> None:
    with pytest.raises(LedgerError, match=r"is there already: go on with it \(--resume\)"):
        Ledger(path, profile="all", is_resumed=False)
    assert resumed(path).done


def test_nothing_is_there_yet_when_a_new_file_is_resumed(tmp_path: Path) -> None:
    assert resumed(tmp_path / "new.jsonl").done == {}


@pytest.mark.parametrize("size", [1, 40, len(line_of(GOOD))])
def test_half_a_line_at_the_end_is_cut_off(path: Path, size: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + line_of(good(3)).encode()[:size])
    ledger = Ledger(path, profile="all", is_resumed=True)
    assert list(ledger.done) == [1, 2]
    ledger.add(good(3))
    ledger.close()
    assert path.read_bytes() == whole + line_of(good(3)).encode() + b"\n"


def test_half_of_the_first_line_is_cut_off(path: Path) -> None:
    path.write_bytes(b'{"seed":')
    assert resumed(path).done == {}
    assert path.read_bytes() == b""


@pytest.mark.parametrize("line", [b"", b"{}", b"\xff", b"nothing"])
def test_a_damaged_line_is_named(path: Path, line: bytes) -> None:
    path.write_bytes(path.read_bytes() + line + b"\n" + line_of(good(3)).encode() + b"\n")
    with pytest.raises(LedgerError, match=r"campaign.jsonl, line 3: .*begin a new file"):
        resumed(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"profile": "takeover"}, "line 1: field 'profile': 'takeover', now it is 'all': .* begin a new file"),
        ({"code": "0123456789ab"}, "line 1: field 'code': '0123456789ab', now it is '"),
    ],
)
def test_results_that_do_not_belong_together_are_kept_apart(path: Path, changes: dict[str, str], message: str) -> None:
    path.write_text(line_of(replace(GOOD, **changes)) + "\n")  # type: ignore[arg-type]  # both are texts
    with pytest.raises(LedgerError, match=message):
        resumed(path)


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"cannot write .*c.jsonl: No such file or directory"):
        Ledger(tmp_path / "nowhere" / "c.jsonl", profile="all", is_resumed=True)
