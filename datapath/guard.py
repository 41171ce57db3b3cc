"""The guard: VXLAN passes only with neighbours that have an exception, in an nftables table of our own.

Everything else on the overlay's UDP port is dropped, in and out, by the kernel alone. So it stays closed while no agent
runs, when somebody flushes the policies of ESP, and when somebody flushes other tables (`iptables -F`). An address in
`trusted` passes as it is. An address in `sealed` passes inside ESP of ours only, recognised by its `reqid`; on the
way in that is asked of the packet's past, on the way out of its route.

Each change is one transaction: there is no moment between. The rules are recognised by their comments, for what the
tool `nft` prints differs between its versions. Measured: one call takes some 10 ms.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FAMILY = "inet"
"""IPv6 as well: the overlay device listens there too, and nobody of ours sends there."""
TABLE = "weave-guard"
TRUSTED, SEALED = "trusted", "sealed"
PRIORITY = 300
"""After everybody who may still change addresses or the route of a packet; who drops earlier has it his way."""
HOOKS = ("input", "output")
"""Each is a chain; what concerns the port goes on to the chain `<hook>-overlay`."""
TIMEOUT_S = 10
"""The kernel answers within milliseconds; locks of other programs may take a while."""
LACKING = (errno.ENOPKG, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)
NO_TABLE = (errno.ENOENT, *LACKING)
"""There is no table; or there is no nft or nothing of the kind in the kernel, and so there cannot be one."""
ERRORS = (*LACKING, errno.EPERM, errno.EEXIST, errno.EBUSY, errno.ENOBUFS, errno.ENOENT, errno.EINVAL)
"""What nft names in words, recognised by them; what a first error brings with it (no such table) comes last."""
MESSAGE_MAX = 300
"""Characters of what nft says that are passed on; it repeats the whole script."""

Command = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """The table as it is."""

    port: int
    """UDP port it guards; 0 when no rule says so any more."""
    is_whole: bool
    """All rules are there."""
    trusted: tuple[str, ...]
    """IPv4 addresses, sorted."""
    sealed: tuple[str, ...]
    """IPv4 addresses, sorted."""
    drops: Mapping[str, int]
    """Packets dropped since the rules were made, by hook."""


def reqid_of(port: int) -> int:
    """Return by what associations, policies and packets of ours are known: `we` and the port."""
    return int.from_bytes(b"we", "big") << 16 | port


def observe() -> Table | None:
    """Return the table; None when there is none. Raises: OSError."""
    try:
        answer = _nft("-j", "list", "table", FAMILY, TABLE)
    except OSError as error:
        if error.errno in NO_TABLE:
            return None
        raise
    return _parse(json.loads(answer)["nftables"])


def ensure(port: int) -> None:
    """Make the table whole in one transaction; the exceptions in it stay. Raises: OSError."""
    _transact(_rules(port, with_seals=can_seal(port)))


def can_seal(port: int) -> bool:
    """Say whether this kernel can tell ESP of ours (CONFIG_NFT_XFRM); tried without leaving anything."""
    try:
        _nft("-c", "-j", "-f", "-", script=_rules(port, with_seals=True))
    except OSError:
        return False
    return True


def admit(name: str, address: str) -> None:
    """Put an address into the set `name`. Raises: OSError; EAGAIN while there is no table."""
    try:
        _transact([_element("add", name, address)])
    except FileNotFoundError as error:
        raise BlockingIOError(errno.EAGAIN, "the guard is not there yet") from error


def expel(name: str, address: str) -> bool:
    """Take an address out of the set `name`; say whether it was there. Raises: OSError."""
    try:
        _transact([_element("delete", name, address)])
    except FileNotFoundError:
        return False
    return True


def remove() -> bool:
    """Remove the table with all exceptions; say whether it was there. Raises: OSError."""
    try:
        _transact([{"delete": {"table": _place(name=TABLE)}}])
    except OSError as error:
        if error.errno in NO_TABLE:
            return False
        raise
    return True


def _rules(port: int, *, with_seals: bool) -> list[Command]:
    commands: list[Command] = [{"add": {"table": {"family": FAMILY, "name": TABLE}}}]
    for name in (TRUSTED, SEALED) if with_seals else (TRUSTED,):
        commands.append({"add": {"set": _place(table=TABLE, name=name, type="ipv4_addr")}})
    for hook in HOOKS:
        base = {"type": "filter", "hook": hook, "prio": PRIORITY, "policy": "accept"}
        commands.append({"add": {"chain": _place(table=TABLE, name=f"{hook}-overlay")}})
        commands.append({"add": {"chain": _place(table=TABLE, name=hook, **base)}})
        commands.extend({"flush": {"chain": _place(table=TABLE, name=name)}} for name in (hook, f"{hook}-overlay"))
    for hook in HOOKS:
        inbound = hook == "input"
        peer = {"payload": {"protocol": "ip", "field": "saddr" if inbound else "daddr"}}
        ours = {"ipsec": {"key": "reqid", "dir": "in" if inbound else "out", "spnum": 0}}
        to_port = _match({"payload": {"protocol": "udp", "field": "dport"}}, port)
        commands.append(_rule(hook, f"port {port}", to_port, {"jump": {"target": f"{hook}-overlay"}}))
        rules = f"{hook}-overlay"
        commands.append(_rule(rules, TRUSTED, _match(peer, f"@{TRUSTED}"), {"accept": None}))
        if with_seals:
            sealed = (_match(peer, f"@{SEALED}"), _match(ours, reqid_of(port)))
            commands.append(_rule(rules, SEALED, *sealed, {"accept": None}))
        commands.append(_rule(rules, "drop", {"counter": {"packets": 0, "bytes": 0}}, {"drop": None}))
    return commands


def _parse(items: list[dict[str, Any]]) -> Table:
    sets: dict[str, tuple[str, ...]] = {}
    rules: dict[str, list[str]] = {}
    hooks: list[str] = []
    drops = dict.fromkeys(HOOKS, 0)
    port = 0
    for item in items:
        if "set" in item:
            # Elements of another make (with a comment, say) are nobody's of ours.
            addresses = (element for element in item["set"].get("elem", ()) if isinstance(element, str))
            sets[item["set"]["name"]] = tuple(sorted(addresses))
        elif "chain" in item and item["chain"].get("hook") == item["chain"]["name"]:
            hooks.append(item["chain"]["name"])
        elif "rule" in item:
            chain, comment = item["rule"]["chain"], item["rule"].get("comment", "")
            rules.setdefault(chain, []).append(comment)
            if comment.startswith("port "):
                port = int(comment.split()[1])
            elif comment == "drop":
                counters = [part["counter"]["packets"] for part in item["rule"]["expr"] if "counter" in part]
                drops[chain.removesuffix("-overlay")] = sum(counters)
    wanted = {hook: [f"port {port}"] for hook in HOOKS}
    wanted |= {f"{hook}-overlay": [name for name in (TRUSTED, SEALED) if name in sets] + ["drop"] for hook in HOOKS}
    is_whole = sorted(hooks) == sorted(HOOKS) and rules == wanted and TRUSTED in sets
    return Table(port, is_whole, sets.get(TRUSTED, ()), sets.get(SEALED, ()), drops)


def _rule(chain: str, comment: str, *expressions: dict[str, Any]) -> Command:
    return {"add": {"rule": _place(table=TABLE, chain=chain, comment=comment, expr=list(expressions))}}


def _element(verb: str, name: str, address: str) -> Command:
    return {verb: {"element": _place(table=TABLE, name=name, elem=[address])}}


def _match(left: dict[str, Any], right: int | str) -> dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}


def _place(**fields: Any) -> dict[str, Any]:
    return {"family": FAMILY, **fields}


def _transact(commands: list[Command]) -> None:
    _nft("-j", "-f", "-", script=commands)


def _nft(*words: str, script: list[Command] | None = None) -> str:
    """Run nft and return its output. Raises: OSError with the errno that nft names; ENOPKG without nft."""
    environment = {"LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    text = None if script is None else json.dumps({"nftables": script})
    try:
        done = subprocess.run(
            ("nft", *words), input=text, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise OSError(errno.ENOPKG, "nft is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise BlockingIOError(errno.EAGAIN, f"nft did not answer within {TIMEOUT_S} s") from error
    if done.returncode == 0:
        return done.stdout
    said = " ".join(done.stderr.split())[:MESSAGE_MAX]
    raise OSError(next((number for number in ERRORS if os.strerror(number) in said), errno.EIO), f"nft: {said}")
