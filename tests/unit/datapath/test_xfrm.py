"""XFRM's messages, byte by byte, and what is read from answers of any kind."""

from __future__ import annotations

import errno
import random
import struct
import sys

import pytest

from core import keys
from datapath import xfrm
from datapath.xfrm import IN, OUT, Policy, Selector, State

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are those of a little-endian machine")
NEIGHBOUR = bytes([10, 1, 2, 3]) + bytes(12)
NOBODY = bytes(16)
LIFETIME = b"\xff" * 32 + bytes(32)
TO_US = NOBODY + NEIGHBOUR + bytes.fromhex("1a80ffff 00000000 0200 00 20 11 000000 00000000 00000000")
"""Selector: destination, source, ports with masks, AF_INET, prefix lengths, UDP, device, user."""
TO_THEM = NEIGHBOUR + NOBODY + bytes.fromhex("1a80ffff 00000000 0200 20 00 11 000000 00000000 00000000")
INBOUND = State(Selector("10.1.2.3", None, 6784), "10.1.2.3", "10.9.9.9", 0x12345678, 0x77651A80)
KEY = bytes(range(36))


def test_an_association_is_encoded_as_the_kernel_wants_it() -> None:
    body = xfrm.encode_state(INBOUND, KEY)
    info = TO_US
    info += bytes([10, 9, 9, 9]) + bytes(12) + bytes.fromhex("12345678 32 000000")
    info += NEIGHBOUR + LIFETIME + bytes(32) + bytes(12)
    # Sequence number, reqid, AF_INET, transport mode, no short window, ESN.
    info += bytes.fromhex("00000000 801a6577 0200 00 00 80 00000000000000")
    assert body[:224] == info
    aead = b"rfc4106(gcm(aes))".ljust(64, b"\0") + struct.pack("<II", 288, 128) + KEY
    replay = struct.pack("<6I", 32, 0, 0, 0, 0, 1024) + bytes(128)
    assert body[224:] == struct.pack("<HH", 112, 18) + aead + struct.pack("<HH", 156, 23) + replay


def test_an_association_is_removed_by_address_and_spi() -> None:
    expected = bytes([10, 9, 9, 9]) + bytes(12) + bytes.fromhex("12345678 0200 32 00")
    assert xfrm.encode_state_id(INBOUND) == expected


@pytest.mark.parametrize(
    ("policy", "selector", "direction"),
    [
        (Policy(Selector("10.1.2.3", None, 6784), IN, 0x77651A80), TO_US, "00"),
        (Policy(Selector(None, "10.1.2.3", 6784), OUT, 0x77651A80, 0x1001), TO_THEM, "01"),
    ],
)
def test_a_policy_demands_esp(policy: Policy, selector: bytes, direction: str) -> None:
    body = xfrm.encode_policy(policy)
    # Priority, index, direction, allow, flags, share.
    info = selector + LIFETIME + bytes(32) + bytes.fromhex(f"00000000 00000000 {direction} 00 00 00 00000000")
    template = NOBODY + policy.spi.to_bytes(4, "big") + bytes.fromhex("32 000000 0200 0000") + NOBODY
    template += bytes.fromhex("801a6577 00 00 00 00") + b"\xff" * 12
    assert body == info + struct.pack("<HH", 68, 5) + template
    assert xfrm.encode_policy_id(policy) == selector + bytes.fromhex(f"00000000 {direction} 000000")


def test_what_is_written_is_read() -> None:
    assert xfrm.decode_state(xfrm.encode_state(INBOUND, KEY)) == INBOUND
    policy = Policy(Selector(None, "10.1.2.3", 6784), OUT, 7, 0x1001)
    assert xfrm.decode_policy(xfrm.encode_policy(policy)) == policy


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (35, 0xFE),  # ports under a mask
        (40, 10),  # IPv6
        (43, 24),  # a whole network
        (44, 6),  # TCP
        (48, 3),  # one device only
        (76, 51),  # AH
        (212, 10),  # IPv6 outside
        (214, 1),  # tunnel mode
    ],
)
def test_associations_of_another_make_are_nobody_of_ours(at: int, value: int) -> None:
    body = bytearray(xfrm.encode_state(INBOUND, KEY))
    assert body[at] != value
    body[at] = value
    assert xfrm.decode_state(bytes(body)) is None


def test_an_error_is_told_in_the_kernel_s_words() -> None:
    text = b"Requested AEAD algorithm not found\0"
    attribute = struct.pack("<HH", 4 + len(text), 1) + text
    body = struct.pack("<i", -errno.ENOSYS) + bytes(16) + attribute
    with pytest.raises(OSError, match="Requested AEAD algorithm not found") as caught:
        xfrm.raise_error(body)
    assert caught.value.errno == errno.ENOSYS
    with pytest.raises(FileNotFoundError, match="No such file"):
        xfrm.raise_error(struct.pack("<i", -errno.ENOENT) + bytes(16))
    xfrm.raise_error(bytes(20))


def test_any_bytes_are_read_without_harm() -> None:
    dice = random.Random(4)
    good = [xfrm.encode_state(INBOUND, KEY), xfrm.encode_policy(Policy(INBOUND.selector, IN, 7))]
    for _ in range(3000):
        data = bytearray(dice.choice(good))
        for _ in range(dice.randrange(4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        cut = bytes(data[: dice.randrange(len(data) + 1)])
        xfrm.decode_state(cut)
        xfrm.decode_policy(cut)
        assert len(list(xfrm.split(cut))) <= len(cut) // 16
        assert len(list(xfrm.attributes(cut))) <= len(cut) // 4


def test_keys_differ_by_use_direction_and_epoch() -> None:
    secret = bytes(32)
    made = [
        keys.derive(secret, label, direction, epoch)
        for label in (keys.ESP, keys.SLEEVE)
        for direction in (keys.FROM_DIALLER, keys.FROM_ACCEPTOR)
        for epoch in (0, 1)
    ]
    assert len(set(made)) == len(made) == 8
    assert len(keys.derive(secret, keys.ESP, keys.FROM_DIALLER, 0, 36)) == 36
