"""Secrets are there as long as somebody needs them, and a minute longer."""

from __future__ import annotations

from adapters.mesh import keyring as module
from adapters.mesh.keyring import GRACE_S, LEFT_MAX, Keyring
from core.keys import session_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def secret(index: int) -> bytes:
    return index.to_bytes(32, "big")


def test_a_secret_is_found_by_its_session_until_a_minute_after_its_last_connection() -> None:
    clock = Clock()
    keyring = Keyring(clock)
    session = keyring.add(secret(1))
    assert session == session_of(secret(1)) == keyring.add(secret(1))
    assert keyring.secret_of("0" * 16) is None
    keyring.discard(session)
    clock.now += 10 * GRACE_S
    assert keyring.secret_of(session) == secret(1), "one connection still has it"
    keyring.discard(session)
    clock.now += GRACE_S - 1
    assert keyring.secret_of(session) == secret(1)
    clock.now += 1
    assert keyring.secret_of(session) is None
    assert not keyring._secrets


def test_a_secret_that_is_used_again_stays() -> None:
    clock = Clock()
    keyring = Keyring(clock)
    session = keyring.add(secret(1))
    keyring.discard(session)
    keyring.add(secret(1))
    clock.now += 2 * GRACE_S
    assert keyring.secret_of(session) == secret(1)


def test_nothing_needs_to_be_asked_for_a_secret_to_go() -> None:
    clock = Clock()
    keyring = Keyring(clock)
    keyring.discard(keyring.add(secret(1)))
    clock.now += GRACE_S
    keyring.prune()
    assert not keyring._secrets
    assert module.GRACE_S == 60


def test_connections_that_come_and_go_do_not_fill_the_memory() -> None:
    keyring = Keyring(Clock())
    kept = keyring.add(secret(0))
    for index in range(1, 3 * LEFT_MAX):
        keyring.discard(keyring.add(secret(index)))
    assert len(keyring._secrets) == LEFT_MAX + 1
    assert keyring.secret_of(kept) == secret(0)
    assert keyring.secret_of(session_of(secret(3 * LEFT_MAX - 1))) is not None, "the newest are kept"


def test_a_keyring_does_not_show_what_it_holds() -> None:
    keyring = Keyring()
    keyring.add(secret(7))
    assert repr(keyring) == "<Keyring of 1 sessions>"
