"""The key schedule: alike at both ends, apart for every use, and the same in every release."""

from __future__ import annotations

from core.keys import CONTROL, ESP, FROM_ACCEPTOR, FROM_DIALLER, PROBE, SLEEVE, derive, next_secret, session_of

SECRET = bytes(range(32))


def test_every_use_direction_and_epoch_has_a_key_of_its_own() -> None:
    keys = [
        derive(SECRET, label, direction, epoch)
        for label in (CONTROL, SLEEVE, PROBE, ESP)
        for direction in (FROM_DIALLER, FROM_ACCEPTOR)
        for epoch in (0, 1, 256)
    ]
    everything = [*keys, SECRET, next_secret(SECRET), next_secret(next_secret(SECRET))]
    assert len(dict.fromkeys(everything)) == len(everything)
    assert all(len(key) == 32 for key in everything)


def test_hosts_of_different_releases_come_to_the_same_keys() -> None:
    assert session_of(SECRET) == "80deaec47eb30a62"
    assert derive(SECRET, SLEEVE, FROM_DIALLER, 1).hex()[:16] == "eafbd188bc4f4a60"
    assert next_secret(SECRET).hex()[:16] == "03e2cac8c5777ccc"


def test_a_session_says_nothing_of_the_secret_but_its_name() -> None:
    assert session_of(SECRET) != session_of(next_secret(SECRET))
    assert session_of(SECRET) not in SECRET.hex()
