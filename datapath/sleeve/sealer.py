"""Frames into datagrams.

A super-frame is sealed slice by slice, ascending: the template of each is written over the tail of the slice before,
which is sealed already, so no payload is copied. A super-frame without cipher stays where it is, and the kernel gathers
header, template, slice and token of each datagram. Small frames to one neighbour are bundled. Datagrams of one size are
handed over one behind the other, for the kernel to cut (UDP_SEGMENT).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from datapath.sleeve import datagram, frame
from datapath.sleeve.aead import HEADER_SIZE, TOKEN_SIZE, Aead, Arguments, Pointer
from datapath.sleeve.buffer import Buffer
from datapath.sleeve.datagram import CONTROL, FRAG, PACK, RUN_MAX, SEG, STEP
from datapath.sleeve.keys import SendKeys

CAPACITY_MIN = 544
"""Bytes of UDP payload that every path must carry: IPv4's 576 without IP and UDP headers, a multiple of 8."""
CAPACITY_MAX = 65_504
"""Bytes of UDP payload that UDP over IPv4 can carry, a multiple of 8."""
SEGMENTS_MAX = 64
"""Datagrams that kernels before 6.9 cut from one call."""
SEND_MAX = 65_507
"""Bytes that the kernel takes in one call."""
OUT_SIZE = 1 << 18
"""Bytes of all datagrams made from one frame, at the smallest capacity with the largest template and to spare."""
BUNDLES_MAX = 40
"""Datagrams collected before they are sent."""
JOINT_SIZE = TOKEN_SIZE + HEADER_SIZE
"""Bytes between the body of a plain datagram and the next one's."""
JOINT_WORDS = JOINT_SIZE // 8
GATHERS_MAX = 32
"""Ways of cutting, by template and slice, that are kept at hand."""
LENGTH = struct.Struct("<H")
COUNTER_SPACE = 1 << 44
"""Counters per incarnation of a tunnel: years of what a core can seal."""
INCARNATION_MAX = 1 << 20
"""Incarnations of tunnels in the life of an agent."""


class Sending:
    """What one tunnel needs to seal."""

    def __init__(self, keys: SendKeys, receiver: int, incarnation: int) -> None:
        assert 0 <= incarnation < INCARNATION_MAX, "counters would come again"
        self.keys = keys
        """Current key."""
        self.receiver = receiver
        """How the neighbour knows this tunnel, 32 bits."""
        self.counter = incarnation * COUNTER_SPACE
        """Of the next datagram."""
        self._end = self.counter + COUNTER_SPACE
        self.capacity = CAPACITY_MIN
        """Bytes of UDP payload that get through, a multiple of 8."""

    @property
    def room(self) -> int:
        """Bytes of a body."""
        return self.capacity - HEADER_SIZE - self.keys.aead.tag_size

    def take(self, count: int) -> int:
        """Return the first of `count` fresh counters."""
        first = self.counter
        self.counter += count
        assert self.counter <= self._end, "all counters of this incarnation are used"
        return first

    def word(self, kind: int, template: int = 0, total: int = 1) -> int:
        """Return the first word of a header."""
        keys = self.keys
        return datagram.first_word(
            kind, keys.aead.cipher, keys.epoch, template=template, receiver=self.receiver, total=total
        )


class _Gather(NamedTuple):
    """A plain super-frame, where it was read to."""

    datagrams: int
    """How many."""
    spacing: int
    """Bytes of all but the last."""
    views: list[memoryview]
    """Three of each datagram."""
    rest: memoryview
    """The last slice."""


class Sealer:
    """Seals one train of datagrams at a time; it is sent before anything else is sealed."""

    def __init__(self) -> None:
        self._out = Buffer(OUT_SIZE)
        self._joints = Buffer((RUN_MAX + 1) * JOINT_SIZE)
        self._gather: _Gather | None = None
        self._gathers: dict[tuple[int, int], list[memoryview]] = {}
        self.frame = Buffer(frame.FRAME_SIZE_MAX + 8 - frame.FRAME_SIZE_MAX % 8)
        """A frame read from the TAP, from its start; sealing destroys it."""
        self._body = Buffer(1 << 16)
        self._used = 0
        self._bundles = 0
        self._open: Sending | None = None

    def parts(self, start: int, stop: int) -> list[memoryview]:
        """Return what makes up the bytes of the train from the beginning of a datagram to the end of one."""
        gather = self._gather
        if gather is None:
            return [self._out.view[start:stop]]
        first, last = start // gather.spacing, -(-stop // gather.spacing)
        parts = gather.views[3 * first : 3 * last]
        joint = first * JOINT_SIZE
        parts[0] = self._joints.view[joint + TOKEN_SIZE : joint + JOINT_SIZE]
        if last == gather.datagrams:
            parts[-1] = gather.rest
        joint = last * JOINT_SIZE
        parts.append(self._joints.view[joint : joint + TOKEN_SIZE])
        return parts

    def seal_super_frame(self, sending: Sending, size: int) -> tuple[int, int] | None:
        """Seal the super-frame in `frame`; return bytes and spacing of the datagrams. None when it cannot be cut."""
        view = self.frame.view[:size]
        template = frame.template_size(view)
        # The spacing is a multiple of 8, for headers are written and read as words.
        slice_size = sending.room - template
        if template and frame.gso(view) == frame.GSO_UDP:
            # A datagram of theirs must stay whole.
            slice_size -= slice_size % frame.gso_size(view)
        if template == 0 or slice_size <= 0 or size - template > slice_size * RUN_MAX:
            return None
        frame.set_slice(view, slice_size)
        if sending.keys.aead.token:
            return self._gather_run(sending, size, template, slice_size)
        return self._seal_run(sending, SEG, size, template, slice_size)

    def seal_pieces(self, sending: Sending, size: int) -> tuple[int, int]:
        """Seal the frame in `frame` in pieces; return bytes and spacing of the datagrams."""
        return self._seal_run(sending, FRAG, size, 0, sending.room & ~7)

    def seal_control(self, sending: Sending, body: bytes, size: int = 0) -> int:
        """Seal a message, with zeros up to `size` bytes of datagram when that is more; return its bytes."""
        assert self._open is None, "a bundle is open"
        length = max(len(body), size - HEADER_SIZE - sending.keys.aead.tag_size)
        self._body.view[:length] = body + bytes(length - len(body))
        return self._seal_one(sending, CONTROL, 0, length)

    def fits(self, sending: Sending, size: int) -> bool:
        """Say whether a frame of `size` bytes goes into one datagram."""
        return size + LENGTH.size <= sending.room

    def bundle(self, sending: Sending, size: int) -> bool:
        """Put the frame in `frame`, which fits, into the open bundle; say whether `close` must come first, and then
        this again."""
        if self._open is not sending and self._open is not None:
            return False
        room = sending.room
        if self._used + LENGTH.size + size > room:
            limit = min(BUNDLES_MAX, SEND_MAX // sending.capacity)
            if self._bundles + 1 >= limit:
                return False
            self._pad(room)
            self._seal_one(sending, PACK, self._bundles * sending.capacity, room)
            self._bundles += 1
            self._used = 0
        self._open = sending
        at = self._used
        LENGTH.pack_into(self._body.data, at, size)
        self._body.view[at + 2 : at + 2 + size] = self.frame.view[:size]
        self._used = at + 2 + size
        return True

    def close(self) -> tuple[Sending, int, int] | None:
        """Seal what is bundled; return for whom, bytes and spacing of the datagrams. None when nothing is."""
        sending = self._open
        if sending is None:
            return None
        at = self._bundles * sending.capacity
        total = at + self._seal_one(sending, PACK, at, self._used)
        self._used, self._bundles, self._open = 0, 0, None
        return sending, total, sending.capacity

    def _pad(self, room: int) -> None:
        self._body.view[self._used : room] = bytes(room - self._used)

    def _seal_one(self, sending: Sending, kind: int, at: int, size: int) -> int:
        aead, out = sending.keys.aead, self._out
        self._gather = None
        out.words[at // 8] = sending.word(kind)
        out.words[at // 8 + 1] = sending.take(1)
        aead.seal(*self._sealing(aead, at, self._body.pointer(0), size))
        return HEADER_SIZE + size + aead.tag_size

    def _seal_run(self, sending: Sending, kind: int, size: int, template: int, slice_size: int) -> tuple[int, int]:
        aead = sending.keys.aead
        self._gather = None
        count = max(1, -(-(size - template) // slice_size))
        assert count <= RUN_MAX, "more datagrams than a run has"
        body = template + slice_size
        spacing = HEADER_SIZE + body + aead.tag_size
        self._write_headers(sending, sending.word(kind, template, count), count, spacing)
        last = count - 1
        steps = aead.way(template, slice_size, spacing)
        for index in range(len(steps), last):
            start = index * slice_size
            arguments = self._sealing(aead, index * spacing, self.frame.pointer(start), body)
            steps.append((self.frame.view[start : start + template], arguments))
        head, seal = bytes(self.frame.view[:template]), aead.seal
        for place, arguments in islice(steps, last):
            place[:] = head
            seal(*arguments)
        start, rest = last * slice_size, size - last * slice_size
        self.frame.view[start : start + template] = head
        seal(*self._sealing(aead, last * spacing, self.frame.pointer(start), rest))
        return last * spacing + HEADER_SIZE + rest + aead.tag_size, spacing

    def _sealing(self, aead: Aead, at: int, body: Pointer, size: int) -> Arguments:
        header = self._out.pointer(at)
        return aead.sealing(header, header + HEADER_SIZE, body, size)

    def _gather_run(self, sending: Sending, size: int, template: int, slice_size: int) -> tuple[int, int]:
        token = sending.keys.aead.token
        count = -(-(size - template) // slice_size)
        spacing = HEADER_SIZE + template + slice_size + TOKEN_SIZE
        word, first = sending.word(SEG, template, count), sending.take(count)
        words, stop = self._joints.words, JOINT_WORDS * count
        # Between two datagrams: the token of the one, and the header of the other.
        words[0 : stop + 1 : JOINT_WORDS] = memoryview(array("Q", token * (count + 1)))
        words[1:stop:JOINT_WORDS] = memoryview(array("Q", range(word, word + count * STEP, STEP)))
        words[2:stop:JOINT_WORDS] = memoryview(array("Q", range(first, first + count)))
        rest = self.frame.view[template + (count - 1) * slice_size : size]
        self._gather = _Gather(count, spacing, self._views(template, slice_size), rest)
        return (count - 1) * spacing + HEADER_SIZE + template + len(rest) + TOKEN_SIZE, spacing

    def _views(self, template: int, slice_size: int) -> list[memoryview]:
        """Return joint, template and slice of every datagram that there can be."""
        found = self._gathers.get((template, slice_size))
        if found is None:
            if len(self._gathers) >= GATHERS_MAX:
                self._gathers.clear()
            head = self.frame.view[:template]
            joints = self._joints.slices(JOINT_SIZE, JOINT_SIZE)
            slices = self.frame.slices(slice_size, slice_size, template)
            # The last slice may not be whole: `parts` puts it in.
            found = [view for joint, one in zip(joints, [*slices, head], strict=False) for view in (joint, head, one)]
            self._gathers[template, slice_size] = found
        return found

    def _write_headers(self, sending: Sending, word: int, count: int, spacing: int) -> None:
        first = sending.take(count)
        words = array("Q", range(word, word + count * STEP, STEP))
        counters = array("Q", range(first, first + count))
        if spacing % 8 == 0:
            step = spacing // 8
            stop = (count - 1) * step + 1
            self._out.words[0:stop:step] = memoryview(words)
            self._out.words[1 : stop + 1 : step] = memoryview(counters)
            return
        for index in range(count):
            struct.pack_into("<QQ", self._out.data, index * spacing, words[index], counters[index])


def calls(total: int, spacing: int) -> Iterator[tuple[int, int]]:
    """Return the stretches, from and to, in which datagrams are handed to the kernel."""
    step = spacing * max(1, min(SEGMENTS_MAX, SEND_MAX // spacing))
    for start in range(0, total, step):
        yield start, min(total, start + step)
