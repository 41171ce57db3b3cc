"""IPv6 on one interface of this thread's namespace: switched on where it gets addresses, and closed to strangers.

Every setting is probed for first: a kernel may have no IPv6, and a container may have it switched off.
"""

from __future__ import annotations

import errno
from pathlib import Path

SETTINGS = Path("/proc/sys/net/ipv6/conf")
NO_DAD = 0x02
"""`IFA_F_NODAD`: an address is usable at once. The ring gives it to one container only; asking around for a second
whether somebody has it would find nobody on the other side of a partition, and keep every start waiting."""


def refuse_routers(ifname: str) -> None:
    """Let no router advertisement set addresses or routes: any container can send one to all others and to the host.

    Source: CVE-2020-10749 and CVE-2020-11091, of which Weave Net 2.6.3 says to set `accept_ra`. Raises: OSError.
    """
    if heeds_routers(ifname):
        _set(ifname, "accept_ra", "0")


def heeds_routers(ifname: str) -> bool:
    """Say whether a router advertisement may change anything. Raises: OSError."""
    return (SETTINGS / ifname).exists() and _get(ifname, "accept_ra") != "0"


def enable(ifname: str) -> None:
    """Make an interface ready for addresses. Raises: OSError; EAFNOSUPPORT where there is no IPv6.

    Docker switches IPv6 off in containers whose own network has none. And the kernel would drop all addresses whenever
    the interface goes down, unlike those of IPv4.
    """
    if not (SETTINGS / ifname).exists():
        raise OSError(errno.EAFNOSUPPORT, f"there is no IPv6 on {ifname}")
    refuse_routers(ifname)
    _set(ifname, "keep_addr_on_down", "1")
    if _get(ifname, "disable_ipv6") != "0":
        _set(ifname, "disable_ipv6", "0")


def _get(ifname: str, name: str) -> str:
    return (SETTINGS / ifname / name).read_text(encoding="ascii").strip()


def _set(ifname: str, name: str, value: str) -> None:
    (SETTINGS / ifname / name).write_text(value, encoding="ascii")
