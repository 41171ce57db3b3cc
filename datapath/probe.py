"""What this kernel must be able to do, found out by trying; so a missing feature is said at once, with what to do."""

from __future__ import annotations

import errno
import os

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from datapath import syscall, tap

TRIAL_NAME = "weave-probe"
TRIAL_PORT = 65_399
"""A UDP port that is not opened, for the trial device is never brought up."""


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
