"""Datagrams into frames.

A run is opened descending: the template of each datagram lands where the next one to be opened restores the tail of its
slice, so a whole run leaves the super-frame as it was sent, and no payload is copied. A whole run without cipher stays
where it is, and the kernel gathers template and slices. Only a stretch of a run gets a header of its own
(`frame.fix_run`). Nothing is delivered that is not authentic, fresh and within bounds; everything
else is counted by reason.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from hmac import compare_digest

from datapath.sleeve import datagram, frame
from datapath.sleeve.aead import HEADER_SIZE, TAG_SIZES, TOKEN_SIZE, Aead, Arguments
from datapath.sleeve.buffer import Buffer
from datapath.sleeve.datagram import CONTROL, FRAG, PACK, SEG, Run
from datapath.sleeve.keys import ReceiveKeys
from datapath.sleeve.reassembly import Reassembly
from datapath.sleeve.replay import Replay

IN_SIZE = 3 << 16
"""Bytes of datagrams opened at a time."""
SLICE_MIN = 64
"""Bytes of a slice for which a run is opened at once; no honest sender cuts thinner, and pointers cost memory."""


class Drop(Enum):
    """Why datagrams, or frames in them, were not delivered."""

    SHORT = "too short for a datagram"
    STRANGER = "for no tunnel of ours"
    KEY = "of a cipher or an epoch that cannot be"
    IMPOSSIBLE = "with a header that cannot be"
    FORGED = "not authentic"
    REPLAYED = "seen before, or too old"
    MALFORMED = "authentic, but not of our format"


class Receiving:
    """What one tunnel needs to open."""

    def __init__(self, keys: ReceiveKeys, receiver: int, number: int, newest: int = 0) -> None:
        self.keys = keys
        """Keys of three epochs."""
        self.receiver = receiver
        """How datagrams name this tunnel, 32 bits."""
        self.number = number
        """The neighbour's number in the datapath."""
        self.replay = Replay(newest)
        """Counters seen."""
        self.bytes = 0
        """Of authentic datagrams, ever."""


class Opener:
    """Opens trains of datagrams of one size, of any tunnel."""

    def __init__(
        self,
        deliver: Callable[[list[memoryview]], None],
        obey: Callable[[Receiving, bytes], None],
        clock: Callable[[], int],
    ) -> None:
        """Frames go to `deliver`, messages to `obey`; what `deliver` gets is overwritten afterwards. `clock` tells
        milliseconds of a clock that never goes back."""
        self.tunnels: dict[int, Receiving] = {}
        """By receiver."""
        self.drops = dict.fromkeys(Drop, 0)
        """How many datagrams, by reason."""
        self.pieces = Reassembly()
        """Frames that wait for their other pieces."""
        self.inbox = Buffer(IN_SIZE)
        """Datagrams, as they came."""
        self._out = Buffer(IN_SIZE)
        self._deliver = deliver
        self._obey = obey
        self._clock = clock

    def open(self, at: int, total: int, spacing: int) -> Receiving | None:
        """Open the datagrams that lie `spacing` bytes apart in the inbox, the last one perhaps shorter; return the
        tunnel of the last authentic one."""
        count = -(-total // spacing)
        if spacing < datagram.SIZE_MIN:
            self.drops[Drop.SHORT] += count
            return None
        if total - (count - 1) * spacing < datagram.SIZE_MIN:
            # Only the last can be shorter than the others.
            self.drops[Drop.SHORT] += 1
            total = (count - 1) * spacing
            count -= 1
        if count == 0:
            return None
        heard = None
        for run in datagram.runs(*self.inbox.headers(spacing, count, at)):
            size = min(total, run.length * spacing)
            heard = self._open_run(run, at, size, spacing) or heard
            at += run.length * spacing
            total -= size
        return heard

    def _open_run(self, run: Run, at: int, size: int, spacing: int) -> Receiving | None:
        tunnel = self.tunnels.get(run.receiver)
        if tunnel is None:
            self.drops[Drop.STRANGER] += run.length
            return None
        aead = tunnel.keys.find(run.cipher, run.epoch)
        if aead is None:
            self.drops[Drop.KEY] += run.length
            return None
        overhead = HEADER_SIZE + TAG_SIZES[run.cipher]
        last = size - (run.length - 1) * spacing
        if last < overhead + run.template or run.length + run.place > run.total:
            self.drops[Drop.IMPOSSIBLE] += run.length
            return None
        every = (1 << run.length) - 1
        fresh = tunnel.replay.fresh(run.counter, run.length)
        slice_size = spacing - overhead - run.template
        if run.kind in (SEG, FRAG) and (run.length == 1 or (fresh == every and slice_size >= SLICE_MIN)):
            if fresh == 0:
                self.drops[Drop.REPLAYED] += 1
                return None
            if self._open_whole(tunnel, aead, run, at, spacing, last):
                return tunnel
        elif run.length == 1:
            return self._open_bundle(tunnel, aead, run, at, size, fresh)
        return self._open_each(run, at, size, spacing)

    def _open_each(self, run: Run, at: int, size: int, spacing: int) -> Receiving | None:
        """Open datagrams one by one: some are not fresh or not authentic, or they are not of a kind with runs."""
        if run.length == 1:
            self.drops[Drop.FORGED] += 1
            return None
        heard = None
        for index in range(run.length):
            one = Run(run.word + index * datagram.STEP, run.counter + index, 1)
            here = min(spacing, size - index * spacing)
            heard = self._open_run(one, at + index * spacing, here, here) or heard
        return heard

    def _open_whole(self, tunnel: Receiving, aead: Aead, run: Run, at: int, spacing: int, last: int) -> bool:
        """Open a run of which everything is fresh; say whether all of it is authentic."""
        overhead = HEADER_SIZE + aead.tag_size
        slice_size = spacing - overhead - run.template if run.length > 1 else 0
        if aead.token and run.kind == SEG and run.total == run.length > 1 and (spacing | at) % 8 == 0:
            return self._gather_whole(tunnel, aead, run, at, spacing, last)
        open_, end = aead.open, run.length - 1
        if open_(*self._opening(aead, at + end * spacing, last, end * slice_size)) != 0:
            return False
        # Nobody without the key gets here, and makes us keep what is of no use.
        steps = aead.way(at, spacing, slice_size)
        for index in range(len(steps), end):
            steps.append(self._opening(aead, at + index * spacing, spacing, index * slice_size))
        for index in range(end - 1, -1, -1):
            if open_(*steps[index]) != 0:
                return False
        self._accept(tunnel, run, (run.length - 1) * spacing + last)
        body = end * slice_size + last - overhead
        (self._take_segments if run.kind == SEG else self._take_pieces)(tunnel, run, body, slice_size)
        return True

    def _opening(self, aead: Aead, at: int, size: int, place: int) -> Arguments:
        header = self.inbox.pointer(at)
        return aead.opening(header, header + HEADER_SIZE, size - HEADER_SIZE, self._out.pointer(place))

    def _gather_whole(self, tunnel: Receiving, aead: Aead, run: Run, at: int, spacing: int, last: int) -> bool:
        """As `_open_whole`, for a super-frame without cipher."""
        inbox, end, template = self.inbox, run.length - 1, run.template
        token_at, end_at = at + spacing - TOKEN_SIZE, at + end * spacing
        tokens = inbox.words[token_at // 8 : end_at // 8 : spacing // 8].tobytes()
        tokens += inbox.view[end_at + last - TOKEN_SIZE : end_at + last]
        if not compare_digest(tokens, aead.token * run.length):
            return False
        self._accept(tunnel, run, end * spacing + last)
        slice_size = spacing - HEADER_SIZE - template - TOKEN_SIZE
        head = inbox.view[at + HEADER_SIZE : token_at]
        rest = inbox.view[end_at + HEADER_SIZE + template : end_at + last - TOKEN_SIZE]
        if not self._is_cut_well(head, run, template + end * slice_size + len(rest), slice_size):
            self.drops[Drop.MALFORMED] += run.length
            return True
        frame.restore(head, template)
        frame.set_via(head, tunnel.number)
        first, shift = divmod(at + HEADER_SIZE + template, spacing)
        slices = inbox.slices(spacing, slice_size, shift)
        self._deliver([head, *slices[first + 1 : first + end], rest])
        return True

    def _accept(self, tunnel: Receiving, run: Run, size: int) -> None:
        tunnel.replay.accept(run.counter, run.length, (1 << run.length) - 1)
        tunnel.keys.heard(run.epoch)
        tunnel.bytes += size

    def _take_segments(self, tunnel: Receiving, run: Run, size: int, slice_size: int) -> None:
        view = self._out.view[:size]
        template, told = run.template, frame.slice_size(view)
        if not self._is_cut_well(view, run, size, slice_size):
            self.drops[Drop.MALFORMED] += run.length
            return
        if run.length == run.total:
            frame.restore(view, template)
        else:
            has_end = run.place + run.length == run.total
            frame.fix_run(view, template, run.place * told, has_end=has_end)
        frame.set_via(view, tunnel.number)
        self._deliver([view])

    @staticmethod
    def _is_cut_well(view: memoryview, run: Run, size: int, slice_size: int) -> bool:
        """Say whether `size` bytes that begin like this are what a super-frame's sender makes."""
        template = run.template
        if template < frame.L3_AT + 28 or frame.tags(view) is None:
            return False
        told = frame.slice_size(view)
        is_cut = told > 0 and (told == slice_size if run.length > 1 else size - template <= told)
        if not is_cut or (run.place + run.length < run.total and size - template != told * run.length):
            return False
        # The header will be fixed, here or in the kernel: it must be one that can be.
        return frame.template_size(view) == template

    def _take_pieces(self, tunnel: Receiving, run: Run, size: int, slice_size: int) -> None:
        if run.length == run.total:
            self._take_frame(tunnel, self._out.view[:size])
            return
        key = (run.receiver, run.counter - run.place)
        size_of_one = slice_size or size
        for index in range(run.length):
            piece = bytes(self._out.view[index * size_of_one : min(size, (index + 1) * size_of_one)])
            whole = self.pieces.add(key, run.place + index, run.total, piece, self._clock())
            if whole is not None:
                self._take_frame(tunnel, memoryview(bytearray(whole)))

    def _take_frame(self, tunnel: Receiving, view: memoryview) -> None:
        if len(view) > frame.FRAME_SIZE_MAX or frame.tags(view) is None:
            self.drops[Drop.MALFORMED] += 1
            return
        frame.set_via(view, tunnel.number)
        self._deliver([view])

    def _open_bundle(self, tunnel: Receiving, aead: Aead, run: Run, at: int, size: int, fresh: int) -> Receiving | None:
        """Open one datagram of small frames, or a message."""
        if run.kind not in (PACK, CONTROL):
            self.drops[Drop.IMPOSSIBLE] += 1
            return None
        if fresh == 0:
            self.drops[Drop.REPLAYED] += 1
            return None
        if aead.open(*self._opening(aead, at, size, 0)) != 0:
            self.drops[Drop.FORGED] += 1
            return None
        self._accept(tunnel, run, size)
        body = size - HEADER_SIZE - aead.tag_size
        if run.kind == CONTROL:
            self._obey(tunnel, bytes(self._out.view[:body]))
            return tunnel
        data, view, here = self._out.data, self._out.view, 0
        while here + 2 <= body:
            length = data[here] | data[here + 1] << 8
            here += 2
            if length == 0:
                break
            if here + length > body:
                self.drops[Drop.MALFORMED] += 1
                break
            self._take_frame(tunnel, view[here : here + length])
            here += length
        return tunnel
