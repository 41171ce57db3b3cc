"""A snapshot of one host for people and scripts, as data. Who asks turns it into text; nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import Config
from core.ipam.status import IpamStatus
from core.mesh.status import MeshStatus
from core.naming.status import NameStatus, ServerStatus


@dataclass(frozen=True, slots=True)
class AttachmentStatus:
    """One interface of a container."""

    container: str
    """Its identity."""
    ifname: str
    """Inner name."""
    mac: str
    """MAC address of the inner end."""
    addresses: tuple[str, ...]
    """CIDRs on it."""
    netns: str
    """Path of its network namespace."""
    host_ifname: str
    """Outer name."""
    is_up: bool
    """The kernel is known to carry it."""
    waits_for: str
    """Why it is not up; empty when it is."""


@dataclass(frozen=True, slots=True)
class KernelTrouble:
    """A kernel object that cannot be had at present."""

    what: str
    """Verb and object."""
    why: str
    """What the kernel said."""
    hint: str
    """What to do; empty when it is tried again by itself."""
    retry_after_ms: int
    """Until the next try."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything there is to say about one host."""

    config: Config
    """Its settings."""
    incarnation: int
    """Of its stream."""
    mesh: MeshStatus
    """Peers and connections."""
    ipam: IpamStatus | None
    """Allocation; None when it is off."""
    attachments: tuple[AttachmentStatus, ...]
    """By container and interface."""
    names: tuple[NameStatus, ...]
    """Every address of every name, by name."""
    kernel: tuple[KernelTrouble, ...]
    """What does not work."""
    disk: str
    """Why changes cannot be saved; empty when they can."""
    origins: int
    """Streams held."""
    facts: int
    """Live facts held."""
    digest: str
    """Fingerprint of the whole store in hex; equal on hosts that have converged."""
    alarms: tuple[str, ...]
    """What somebody should look at, one line each."""
    server: ServerStatus | None = None
    """The name server, which only the shell knows."""
