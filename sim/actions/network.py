"""What is done to paths and connections, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sim.actions.host import HostIndex


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing gets from one host to another any more; what is sent waits."""

    source: HostIndex
    """Who is not heard."""
    target: HostIndex
    """Who does not hear."""


@dataclass(frozen=True, slots=True)
class Split:
    """Nothing passes between some hosts and the others, in either direction."""

    side: tuple[HostIndex, ...]
    """One side."""


@dataclass(frozen=True, slots=True)
class Heal:
    """All cuts end."""


@dataclass(frozen=True, slots=True)
class Reset:
    """All connections between two hosts break; what was under way is lost."""

    one: HostIndex
    """Either."""
    other: HostIndex
    """The other."""


@dataclass(frozen=True, slots=True)
class Lose:
    """Every path loses messages from now on: each costs a retransmission."""

    percent: int
    """Chance of a loss; 0 ends it."""


@dataclass(frozen=True, slots=True)
class Delay:
    """One direction between two hosts takes another time from now on."""

    source: HostIndex
    """From here."""
    target: HostIndex
    """To there."""
    least_us: int
    """Least time on the way, in microseconds."""
    jitter_us: int
    """Up to this much more, evenly drawn, in microseconds."""
    tail_percent: int
    """Chance that the time doubles, and doubles again; half or more makes a tail that is felt."""


@dataclass(frozen=True, slots=True)
class Disturb:
    """One direction between two hosts loses, doubles and delays single packets from now on; three zeros end it.

    Inside a connection a doubled packet costs nothing, and a late one only the time that those behind it wait.
    """

    source: HostIndex
    """From here."""
    target: HostIndex
    """To there."""
    loss_percent: int
    """Chance of a loss."""
    repeat_percent: int
    """Chance that a packet comes twice."""
    shuffle_percent: int
    """Chance that others overtake a packet."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """The line from one host to another becomes slow: what is sent waits for what was sent before."""

    source: HostIndex
    """From here."""
    target: HostIndex
    """To there."""
    bytes_per_s: int
    """What it carries, in bytes per second; 0 ends it."""
    queue_size: int
    """Bytes that wait before the line; what finds more is dropped, and costs a retransmission."""


@dataclass(frozen=True, slots=True)
class Clog:
    """Nothing arrives from one host at another for a while, and then everything at once."""

    source: HostIndex
    """From here."""
    target: HostIndex
    """To there."""
    for_ms: int
    """How long, in milliseconds; less than it takes TCP to give up."""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Some messages from one host arrive as garbage at another from now on."""

    source: HostIndex
    """From here."""
    target: HostIndex
    """To there."""
    percent: int
    """Chance of that; 0 ends it."""


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Large messages from one host never reach another from now on, while small ones do."""

    source: HostIndex
    """From here."""
    target: HostIndex
    """To there."""
    size_max: int
    """Bytes of the largest message that gets through; 0 ends it."""


@dataclass(frozen=True, slots=True)
class Sever:
    """The connections of a host to another end for itself only: the other does not know until it speaks."""

    host: HostIndex
    """Whose ends are gone."""
    other: HostIndex
    """Whose ends stay, half-open."""


@dataclass(frozen=True, slots=True)
class Block:
    """A firewall swallows one transport of frames from one host to another from now on; connections pass."""

    source: HostIndex
    """From here."""
    target: HostIndex
    """To there."""
    transport: str
    """`fastdp` or `sleeve`."""


@dataclass(frozen=True, slots=True)
class Unblock:
    """That transport passes again."""

    source: HostIndex
    """From here."""
    target: HostIndex
    """To there."""
    transport: str
    """`fastdp` or `sleeve`."""


@dataclass(frozen=True, slots=True)
class ForgetIdle:
    """The NAT before a host forgets connections that are idle for some time, from now on."""

    host: HostIndex
    """Who is behind it."""
    after_ms: int
    """After how many milliseconds; 0 for never."""


@dataclass(frozen=True, slots=True)
class RestartNat:
    """The NAT before a host forgets all connections there are."""

    host: HostIndex
    """Who is behind it."""


NetworkAction = (
    Cut
    | Split
    | Heal
    | Reset
    | Lose
    | Delay
    | Disturb
    | Throttle
    | Clog
    | Corrupt
    | BlackHole
    | Sever
    | Block
    | Unblock
    | ForgetIdle
    | RestartNat
)
