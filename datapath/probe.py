"""What this kernel must be able to do, found out by trying; so a missing feature is said at once, with what to do."""

from __future__ import annotations

import errno
import os

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from datapath import guard, syscall, tap
from datapath.xfrm import KEY_SIZE, SALT_SIZE, Selector, State, Xfrm

TRIAL_NAME = "weave-probe"
TRIAL_PORT = 65_399
"""A UDP port that is not opened, for the trial device is never brought up."""
IPV6_PROOF = "/proc/net/if_inet6"
"""There exactly when the kernel has IPv6 and it was not switched off at boot."""
TRIAL_SPI = 0xFFFF_FEED
"""Of an association between loopback addresses, removed at once."""


def missing_features() -> tuple[str, ...]:
    """Return one line for each feature that is missing here, with what to do; empty when all is well."""
    if os.geteuid() != 0:
        return ("weave makes network devices and loads eBPF programs: run it as root",)
    missing = []
    try:
        os.close(syscall.map_create(2, 4, 4, 1, 0, "probe"))
    except OSError as error:
        why = os.strerror(error.errno or errno.EIO)
        missing.append(f"eBPF cannot be used ({why}): use a kernel of 5.10 or later with CONFIG_BPF_SYSCALL=y")
    if not os.access(tap.DEVICE, os.R_OK | os.W_OK):
        missing.append(f"there is no {tap.DEVICE}: load the module tun (CONFIG_TUN), and let the container have it")
    with IPRoute() as ipr:
        missing.extend(_missing_devices(ipr))
    return tuple(missing)


def has_ipv6() -> bool:
    """Say whether this kernel knows IPv6 at all; whether an interface uses it is another matter."""
    return os.path.exists(IPV6_PROOF)


def has_esp() -> bool:
    """Say whether this kernel can encrypt VXLAN."""
    return not why_no_esp()


def why_no_esp() -> str:
    """Return why this kernel cannot encrypt VXLAN, with what to do; empty when it can."""
    selector = Selector("127.0.0.1", None, TRIAL_PORT)
    trial = State(selector, "127.0.0.1", "127.0.0.2", TRIAL_SPI, guard.reqid_of(TRIAL_PORT))
    try:
        with Xfrm() as xfrm:
            xfrm.remove_state(trial)
            xfrm.add_state(trial, os.urandom(KEY_SIZE + SALT_SIZE))
            xfrm.remove_state(trial)
    except OSError as error:
        return (
            f"this kernel has no ESP with AES-GCM ({error.strerror}): load the modules esp4 and gcm, "
            "or enable CONFIG_XFRM_USER, CONFIG_INET_ESP and CONFIG_CRYPTO_GCM"
        )
    if not guard.can_seal(TRIAL_PORT):
        return "nftables cannot tell ESP from plain packets here: load the module nft_xfrm (CONFIG_NFT_XFRM)"
    return ""


def _missing_devices(ipr: IPRoute) -> list[str]:
    missing = []
    wishes: tuple[tuple[dict[str, object], str, str], ...] = (
        ({"kind": "bridge"}, "bridges", "CONFIG_BRIDGE"),
        ({"kind": "veth", "peer": {"ifname": f"{TRIAL_NAME}2"}}, "veth pairs", "CONFIG_VETH"),
        (
            {"kind": "vxlan", "vxlan_collect_metadata": True, "vxlan_port": TRIAL_PORT, "vxlan_learning": False},
            "VXLAN devices in external mode",
            "CONFIG_VXLAN",
        ),
    )
    for wish, what, option in wishes:
        trouble = _try_device(ipr, wish, with_clsact=wish["kind"] == "veth")
        if trouble == "clsact":
            missing.append("traffic control has no clsact: load the module sch_ingress (CONFIG_NET_SCH_INGRESS)")
        elif trouble:
            missing.append(f"this kernel cannot make {what} ({trouble}): load the module, or enable {option}")
    return missing


def _try_device(ipr: IPRoute, wish: dict[str, object], *, with_clsact: bool) -> str:
    try:
        ipr.link("add", ifname=TRIAL_NAME, **wish)
    except NetlinkError as error:
        return os.strerror(error.code)
    index = ipr.link("get", ifname=TRIAL_NAME)[0]["index"]
    try:
        if with_clsact:
            ipr.tc("add", "clsact", index)
    except NetlinkError:
        return "clsact"
    finally:
        ipr.link("del", index=index)
    return ""
