"""VXLAN inside ESP, in another kernel: what `esp_in_guest.py` has seen there is what must be.

The guest boots once for all of these.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import guest
import pytest

WHY_NOT = guest.why_no_guest()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
Seen = dict[str, Any]
SENT_MIN = 200
"""Datagrams during the rotations; with fewer the load would not have been one."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    out = tmp_path_factory.mktemp("guest")
    print(guest.run(Path(__file__).with_name("esp_in_guest.py"), out))
    answer: Seen = json.loads((out / "seen.json").read_text())
    return answer


def test_without_guards_everything_can_be_read_and_injected(seen: Seen) -> None:
    """The control: each of these is seen to fail below."""
    plain = seen["plain"]
    assert plain["arrives"]
    assert plain["readable"]
    assert plain["plain"] > 0
    assert plain["injected_arrives"]


def test_esp_is_found_by_trying(seen: Seen) -> None:
    assert "no ESP" not in seen["why_no_esp"]
    assert (seen["why_no_esp"] == "") == seen["has_guard"]


def test_without_an_association_nothing_leaves_and_nothing_comes_in(seen: Seen) -> None:
    closed = seen["closed"]
    assert not closed["arrives"]
    assert (closed["plain"], closed["esp"]) == (0, 0)
    assert not closed["injected_arrives"]
    assert closed["counted"] == ["XfrmOutNoStates"]


def test_frames_pass_inside_esp_and_cannot_be_read(seen: Seen) -> None:
    sealed = seen["sealed"]
    assert sealed["arrives"]
    assert not sealed["readable"]
    assert sealed["plain"] == 0
    assert sealed["esp"] > 0
    assert all(sealed["carried"]), "both ends count"


def test_a_plan_leads_there_and_finds_it_done(seen: Seen) -> None:
    assert all(line.endswith("Done") for line in seen["sealed"]["done"])
    assert seen["sealed"]["again"] == []


@pytest.mark.parametrize(
    ("attack", "counter"),
    [
        ("plain", "XfrmInTmplMismatch"),
        ("replayed", "XfrmInStateSeqError"),
        ("forged", "XfrmInStateProtoError"),
        ("foreign", "XfrmInNoStates"),
    ],
)
def test_what_the_neighbour_did_not_send_now_is_dropped_and_counted(seen: Seen, attack: str, counter: str) -> None:
    got = seen["attacks"][attack]
    assert not got["arrives"]
    # Plain packets may meet the guard before they meet the policy.
    assert got["counted"] == [counter] or (attack == "plain" and seen["has_guard"] and got["counted"] == [])


def test_keys_rotate_by_volume_under_load_without_loss_and_without_plain_text(seen: Seen) -> None:
    rotation = seen["rotation"]
    assert rotation["failed"] == []
    assert rotation["removals_of_seals"] == [], "a seal is changed in place"
    assert rotation["sent"] >= SENT_MIN
    assert rotation["lost"] == 0
    assert rotation["plain"] == 0
    assert rotation["esp"] >= rotation["sent"]
    assert (rotation["associations"], rotation["policies"]) == (2, 2)


def test_each_layer_keeps_closed_what_the_other_has_lost(seen: Seen) -> None:
    if not seen["has_guard"]:
        pytest.skip(f"nftables of kernel {seen['kernel']} has no IPv4 tables: WEAVE_VM_KERNEL (guest.py) has")
    for name, damage in seen["damage"].items():
        assert damage["plain"] == 0, name
        assert not damage["injected_arrives"], name
        assert damage["repaired"], name
        assert damage["repairs"], name
    assert not seen["damage"]["policies"]["arrives"]


def test_the_kernel_goes_on_without_an_agent_and_the_next_brings_keys_of_its_own(seen: Seen) -> None:
    restart = seen["restart"]
    assert restart["goes_on"]
    assert sorted(restart["found"]) == [["", -1, False], ["", -1, True]]
    assert restart["failed"] == []
    assert restart["arrives"]


def test_a_key_serves_once(seen: Seen) -> None:
    assert seen["reused"] == ["Refused", "Refused"]


def test_nothing_is_left_after_a_reset(seen: Seen) -> None:
    assert seen["left"] == [""] * 6
