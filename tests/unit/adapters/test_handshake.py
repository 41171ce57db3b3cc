"""The handshake as bytes in and bytes out: who comes to an agreement, and what nobody gets out of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spake2 import SPAKE2_A, SPAKE2_B

from adapters.mesh import handshake as module
from adapters.mesh.ed25519 import PARAMETERS, is_element
from adapters.mesh.handshake import (
    ACCEPTOR,
    DIALLER,
    HAS_PASSWORD,
    NOT_ACCEPTED,
    ONLY_THEY,
    ONLY_WE,
    PREAMBLE_SIZE,
    PROOF_SIZE,
    SHARE_SIZE,
    WRONG,
    Agreed,
    Handshake,
    Refused,
)

KEY = b"k" * 32
OTHER = b"o" * 32
SAID_MAX = PREAMBLE_SIZE + SHARE_SIZE + PROOF_SIZE
FLIGHTS = ("preamble and share of the dialler", "preamble and share of the acceptor", "first proof", "second proof")


@dataclass
class Side:
    """A handshake, with what it has been told and not yet wanted."""

    machine: Handshake
    waiting: bytes = b""

    def hear(self, data: bytes) -> bytes:
        self.waiting += data
        said = b""
        while self.machine.outcome is None and len(self.waiting) >= self.machine.wants:
            taken, self.waiting = self.waiting[: self.machine.wants], self.waiting[self.machine.wants :]
            said += self.machine.receive(taken)
        return said

    def end(self) -> Agreed | Refused:
        return self.machine.outcome or self.machine.ended("EOF")


def sides(ours: bytes | None, theirs: bytes | None) -> tuple[Side, Side]:
    """A dialler and an acceptor."""
    return Side(Handshake(is_dialler=True, key=ours)), Side(Handshake(is_dialler=False, key=theirs))


def talk(dialler: Side, acceptor: Side, change: tuple[int, int, int] | None = None) -> list[bytes]:
    """Carry every byte over, up to one changed: flight, place, bits; return the flights as they were said."""
    flights: list[bytes] = []
    said, to = dialler.machine.begin(), acceptor
    while said:
        flights.append(said)
        if change is not None and change[0] == len(flights) - 1:
            place = change[1]
            said = said[:place] + bytes((said[place] ^ change[2],)) + said[place + 1 :]
        said, to = to.hear(said), dialler if to is acceptor else acceptor
    return flights


@pytest.mark.parametrize("key", [None, KEY])
def test_two_with_the_same_password_or_none_share_secrets_of_their_own(key: bytes | None) -> None:
    agreements = []
    for _ in range(2):
        dialler, acceptor = sides(key, key)
        flights = talk(dialler, acceptor)
        one, other = dialler.end(), acceptor.end()
        assert isinstance(one, Agreed)
        assert one == other
        assert one.is_sealed == (key is not None)
        assert not any(one.secret in said or one.control in said for said in flights)
        assert all(sum(map(len, flights[side::2])) <= SAID_MAX for side in (0, 1))
        agreements += [one.secret, one.control]
    assert len(dict.fromkeys(agreements)) == 4


def test_with_another_password_both_say_so_and_the_acceptor_has_not_said_its_proof() -> None:
    dialler, acceptor = sides(KEY, OTHER)
    flights = talk(dialler, acceptor)
    assert acceptor.end() == Refused(WRONG)
    assert dialler.end() == Refused(f"{NOT_ACCEPTED} (EOF)")
    assert dialler.machine.is_guess
    assert acceptor.machine.is_guess
    assert len(flights) == 3


@pytest.mark.parametrize(
    ("ours", "theirs", "words"), [(KEY, None, (ONLY_WE, ONLY_THEY)), (None, KEY, (ONLY_THEY, ONLY_WE))]
)
def test_with_and_without_refuse_each_other_both_with_the_reason(
    ours: bytes | None, theirs: bytes | None, words: tuple[str, str]
) -> None:
    dialler, acceptor = sides(ours, theirs)
    talk(dialler, acceptor)
    assert (dialler.end(), acceptor.end()) == (Refused(words[0]), Refused(words[1]))
    assert not dialler.machine.is_guess
    assert not acceptor.machine.is_guess


@pytest.mark.parametrize("flight", range(4), ids=FLIGHTS)
def test_whoever_changes_any_byte_on_the_way_breaks_the_handshake(flight: int) -> None:
    size = (PREAMBLE_SIZE + SHARE_SIZE, PREAMBLE_SIZE + SHARE_SIZE, PROOF_SIZE, PROOF_SIZE)[flight]
    for place in range(size):
        for bits in (0x01, 0x80):
            dialler, acceptor = sides(KEY, KEY)
            talk(dialler, acceptor, (flight, place, bits))
            assert isinstance(dialler.end(), Refused), (place, bits)
            # The very last message is the acceptor's: nobody can change its mind by changing that.
            assert isinstance(acceptor.end(), Agreed if flight == 3 else Refused), (place, bits)


def test_nobody_can_talk_two_with_a_password_into_doing_without() -> None:
    for flights in ((0,), (1,), (0, 1)):
        dialler, acceptor = sides(KEY, KEY)
        said = bytearray(dialler.machine.begin())
        if 0 in flights:
            said[7] &= ~HAS_PASSWORD
            del said[PREAMBLE_SIZE:]
        answer = bytearray(acceptor.hear(bytes(said)))
        if 1 in flights:
            answer[7] &= ~HAS_PASSWORD
            del answer[PREAMBLE_SIZE:]
        dialler.hear(bytes(answer))
        assert isinstance(dialler.end(), Refused)
        assert isinstance(acceptor.end(), Refused)


def test_a_newer_peer_cannot_be_talked_into_an_older_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VERSION_MAX", 5)
    dialler, acceptor = sides(KEY, KEY)
    talk(dialler, acceptor)
    agreed = dialler.end()
    assert isinstance(agreed, Agreed)
    assert agreed.version == 5
    for flight in (0, 1):
        dialler, acceptor = sides(KEY, KEY)
        talk(dialler, acceptor, (flight, 6, 5 ^ 4))
        assert isinstance(dialler.end(), Refused)
        assert isinstance(acceptor.end(), Refused)


def test_a_newer_and_an_older_peer_speak_what_both_know(monkeypatch: pytest.MonkeyPatch) -> None:
    dialler = Side(Handshake(is_dialler=True, key=KEY))
    monkeypatch.setattr(module, "VERSION_MAX", 5)
    acceptor = Side(Handshake(is_dialler=False, key=KEY))
    said = acceptor.hear(dialler.machine.begin())
    monkeypatch.setattr(module, "VERSION_MAX", 3)
    said = dialler.hear(said)
    monkeypatch.setattr(module, "VERSION_MAX", 5)
    dialler.hear(acceptor.hear(said))
    assert dialler.end() == acceptor.end()
    assert isinstance(dialler.end(), Agreed)


def test_weave_net_s_own_peers_learn_that_they_are_too_old() -> None:
    acceptor = Side(Handshake(is_dialler=False, key=None))
    assert acceptor.hear(b"weave\1\2" + bytes(33)).startswith(b"weave")
    refused = acceptor.end()
    assert isinstance(refused, Refused)
    assert "it speaks versions 1..2 of the handshake, we speak 3..3" in refused.reason


def test_a_recorded_session_opens_nothing_in_either_role() -> None:
    dialler, acceptor = sides(KEY, KEY)
    first, second, third, fourth = talk(dialler, acceptor)
    victim = Side(Handshake(is_dialler=False, key=KEY))
    victim.hear(first)
    assert victim.hear(third) == b""
    assert victim.end() == Refused(WRONG)
    caller = Side(Handshake(is_dialler=True, key=KEY))
    caller.machine.begin()
    caller.hear(second + fourth)
    assert caller.end() == Refused(WRONG)


def test_own_words_sent_back_are_refused() -> None:
    for key in (None, KEY):
        caller = Side(Handshake(is_dialler=True, key=key))
        caller.hear(caller.machine.begin())
        assert caller.end() == Refused("it sends our own words back")
    caller = Side(Handshake(is_dialler=True, key=KEY))
    begun = caller.machine.begin()
    caller.hear(begun[:8] + bytes(32) + begun[PREAMBLE_SIZE:])
    refused = caller.end()
    assert isinstance(refused, Refused)
    assert "its share" in refused.reason


def test_a_share_made_from_the_right_guess_alone_counts_as_an_attempt() -> None:
    # The blinding element times the password: what remains is the neutral element, which is no point to go on with.
    scalar = PARAMETERS.group.password_to_scalar(KEY)
    acceptor = Side(Handshake(is_dialler=False, key=KEY))
    share = PARAMETERS.M.scalarmult(scalar).to_bytes()
    assert acceptor.hear(b"weave\3\3\1" + bytes(32) + share) == b""
    assert isinstance(acceptor.end(), Refused)
    assert acceptor.machine.is_guess


@pytest.mark.parametrize(
    "share",
    [
        bytes(32),
        b"\1" + bytes(31),
        b"\1" + bytes(30) + b"\x80",
        b"\xee" + b"\xff" * 30 + b"\x7f",
        b"\xec" + b"\xff" * 30 + b"\x7f",
        b"\xff" * 32,
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    ],
)
def test_points_of_small_order_and_other_encodings_are_refused_before_anything_is_computed(share: bytes) -> None:
    assert not is_element(share)
    acceptor = Side(Handshake(is_dialler=False, key=KEY))
    assert acceptor.hear(b"weave\3\3\1" + bytes(32) + share) == b""
    assert isinstance(acceptor.end(), Refused)


def test_one_guess_per_connection_as_a_caller() -> None:
    """A stranger with a list of passwords, one of them right, that it did not make its share from."""
    acceptor = Side(Handshake(is_dialler=False, key=KEY))
    stranger = Side(Handshake(is_dialler=True, key=OTHER))
    proof = stranger.hear(acceptor.hear(stranger.machine.begin()))
    heard = acceptor.hear(proof)
    # The connection is over, and nothing was heard that depends on the password beyond the share.
    assert heard == b""
    assert acceptor.end() == Refused(WRONG)
    with pytest.raises(AssertionError):
        acceptor.machine.receive(proof)


def test_shares_of_the_same_password_have_nothing_in_common() -> None:
    shares = [Handshake(is_dialler=True, key=KEY).begin()[PREAMBLE_SIZE:] for _ in range(20)]
    assert len(dict.fromkeys(shares)) == 20
    assert all(is_element(share) for share in shares)


def test_the_package_s_own_arithmetic_comes_to_the_same_key() -> None:
    fast = SPAKE2_A(KEY, idA=DIALLER, idB=ACCEPTOR, params=PARAMETERS)
    plain = SPAKE2_B(KEY, idA=DIALLER, idB=ACCEPTOR)
    one, other = fast.start(), plain.start()
    assert fast.finish(other) == plain.finish(one)
    backwards = SPAKE2_A(KEY, idA=DIALLER, idB=ACCEPTOR)
    fast = SPAKE2_B(KEY, idA=DIALLER, idB=ACCEPTOR, params=PARAMETERS)
    one, other = backwards.start(), fast.start()
    assert backwards.finish(other) == fast.finish(one)


def test_secrets_do_not_show() -> None:
    dialler, acceptor = sides(KEY, KEY)
    talk(dialler, acceptor)
    agreed = dialler.end()
    assert isinstance(agreed, Agreed)
    for text in (repr(agreed), str(agreed), repr(dialler.machine)):
        for secret in (agreed.secret, agreed.control, KEY):
            assert secret.hex() not in text
            assert repr(secret) not in text


@settings(max_examples=300, deadline=None)
@given(
    st.booleans(),
    st.booleans(),
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(b"weave\3\3".__add__),
        st.binary(min_size=32, max_size=300).map(b"weave\3\3\1".__add__),
        st.binary(min_size=64, max_size=64).map(
            lambda tail: b"weave\3\3\1" + tail[:32] + PARAMETERS.M.to_bytes() + tail
        ),
    ),
)
def test_hostile_bytes_end_in_a_reason_and_nothing_else(is_dialler: bool, has_password: bool, data: bytes) -> None:
    side = Side(Handshake(is_dialler=is_dialler, key=KEY if has_password else None))
    said = len(side.machine.begin()) + len(side.hear(data))
    outcome = side.end()
    assert said <= SAID_MAX
    if isinstance(outcome, Agreed):
        assert not outcome.is_sealed, "nobody proves by chance what it does not know"
    else:
        assert outcome.reason
