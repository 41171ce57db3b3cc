"""What is on the wire: a header of 16 bytes, a body, and a tag that proves both.

    byte 0      kind (bits 0-2), cipher (3-5), epoch (6-7)
    byte 1      SEG: bytes of the template, else 0
    byte 2-5    which tunnel of the receiver, the first half of `keys.tag`
    byte 6      SEG, FRAG: which datagram of the run, from 0
    byte 7      SEG, FRAG: datagrams in the run, else 1
    byte 8-15   counter, little-endian: of one sender never twice in a session

SEG carries one super-frame of TCP or UDP in a run of datagrams with successive counters. The body of each is the
template (virtio-net header, Ethernet, tags, IP, TCP or UDP) and a slice of the payload, so each can be delivered
without the others. PACK carries small frames, `size (2 bytes), frame`, until a size of 0 or the end. FRAG carries a
slice of a frame that is of use only as a whole. CONTROL carries a message of `control_body`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from datapath.sleeve.aead import HEADER_SIZE, TAG_SIZES

SEG, PACK, FRAG, CONTROL = 1, 2, 3, 4
"""Kinds."""
RUN_MAX = 255
"""Datagrams in a run; the field has 8 bits."""
SIZE_MIN = HEADER_SIZE + min(TAG_SIZES.values())
"""Bytes of the smallest datagram there can be."""
STEP = 1 << 48
"""What the first word grows by from one datagram of a run to the next."""
COUNTER_BITS = 64


class Run(NamedTuple):
    """Successive datagrams of one run, or one datagram alone."""

    word: int
    """First word of the first header."""
    counter: int
    """Of the first."""
    length: int
    """How many."""

    @property
    def kind(self) -> int:
        """Which of the four; others are possible in what strangers send."""
        return self.word & 7

    @property
    def cipher(self) -> int:
        """As in `aead`."""
        return self.word >> 3 & 7

    @property
    def epoch(self) -> int:
        """Its low bits."""
        return self.word >> 6 & 3

    @property
    def template(self) -> int:
        """Bytes of the template."""
        return self.word >> 8 & 0xFF

    @property
    def receiver(self) -> int:
        """Which tunnel."""
        return self.word >> 16 & 0xFFFF_FFFF

    @property
    def place(self) -> int:
        """Where in its run the first stands."""
        return self.word >> 48 & 0xFF

    @property
    def total(self) -> int:
        """Datagrams in the run that was sent."""
        return self.word >> 56


def first_word(kind: int, cipher: int, epoch: int, *, template: int, receiver: int, total: int) -> int:
    """Return the first word of the header of a run's first datagram."""
    return kind | cipher << 3 | (epoch & 3) << 6 | template << 8 | receiver << 16 | total << 56


def runs(words: list[int], counters: list[int]) -> Iterator[Run]:
    """Split headers, in order of arrival, into runs."""
    count = len(words)
    word, counter = words[0], counters[0]
    # Nearly always everything is one run, and two comparisons in C say so. `range` stops one short of wrapping.
    if counters == list(range(counter, counter + count)) and words == list(range(word, word + count * STEP, STEP)):
        yield Run(word, counter, count)
        return
    start = 0
    for here in range(1, count + 1):
        if here == count or counters[here] != counters[here - 1] + 1 or words[here] != words[here - 1] + STEP:
            yield Run(words[start], counters[start], here - start)
            start = here
