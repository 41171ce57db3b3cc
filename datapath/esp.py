"""VXLAN with a neighbour inside ESP only: policies, the guard's exception, and security associations.

Keeps, in this order, that nothing leaves in the clear: the policies of a neighbour are there before the guard lets its
packets pass inside ESP, and go after the exception has gone. Without an association nothing leaves at all. Ours are
known by `reqid`, which is made from the UDP port, and by a selector that covers this port with one neighbour only.

The kernel does not tell whose secret a key was made from. This driver remembers what it has installed itself; what
an earlier agent left is of session "" and epoch -1, which nobody desires. A key serves once: an association that was
lost must not start anew from sequence number 0 with the same key, which would let old packets in again.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from core import keys
from core.reconcile.objects import Association, Seal
from datapath import guard
from datapath.links import Foreign
from datapath.xfrm import IN, OUT, SALT_SIZE, Policy, Selector, State, Xfrm

SALT = b"weave esp salt"
"""Label of the 4 bytes that go into each nonce beside the kernel's counter."""
NO_SESSION, NO_EPOCH = "", -1

SecretOf = Callable[[str], bytes | None]
"""The link secret of a session, 32 bytes; None when it is not known."""


class Esp:
    """All of ESP for one overlay port, in the network namespace of the thread that uses it."""

    def __init__(self, port: int, secret_of: SecretOf) -> None:
        self._port = port
        self._reqid = guard.reqid_of(port)
        self._secret_of = secret_of
        self._opened: Xfrm | None = None
        self._installed: dict[tuple[str, ...], Association] = {}
        self._used_keys: dict[tuple[str, int, bool], bool] = {}

    def close(self) -> None:
        """Let go; the kernel goes on as it is."""
        if self._opened is not None:
            self._opened.close()

    def associations(self, ipr: IPRoute) -> Iterator[Association]:
        """Yield the associations of ours. Raises: OSError."""
        for state in self._states():
            found = self._association(state)
            known = self._installed.get(found.key, found)
            # One for an address that is no longer ours receives nothing; while there is no route, that is not known.
            is_lost = known.is_inbound and _source_towards(ipr, known.address) not in (state.destination, None)
            yield replace(found if is_lost else known, size_bytes=state.size_bytes)

    def seals(self, exceptions: tuple[str, ...]) -> Iterator[Seal]:
        """Yield what is there of seals, whole or not; `exceptions` are the guard's. Raises: OSError."""
        policies: dict[str, dict[int, Policy]] = {address: {} for address in exceptions}
        for policy in self._policies():
            policies.setdefault(_neighbour(policy.selector), {})[policy.direction] = policy
        for address, found in sorted(policies.items()):
            out = found.get(OUT)
            is_whole = address in exceptions and IN in found and out is not None and found[IN].spi == 0
            yield Seal(address, self._port, 0 if out is None else out.spi, is_whole)

    def ensure_association(self, ipr: IPRoute, item: Association) -> None:
        """Install an association. Raises: Foreign, OSError (EAGAIN: secret unknown, EKEYREVOKED: key has served)."""
        if item.port != self._port:
            raise Foreign(f"an association for UDP port {item.port}, and ours is {self._port}")
        key = self._key(item)
        selector = _selector(item.address, item.port, IN if item.is_inbound else OUT)
        # What we send may come from whichever address of ours the route has; what we receive is found by that address.
        source = item.address if item.is_inbound else None
        destination = _source_towards(ipr, item.address) if item.is_inbound else item.address
        if destination is None:
            raise OSError(errno.ENETUNREACH, f"no route to {item.address}")
        try:
            self._xfrm.add_state(State(selector, source, destination, item.spi, self._reqid), key)
        except FileExistsError as error:
            raise Foreign(f"SPI {item.spi:#x} towards {destination} is in use by another association") from error
        self._used_keys[(item.session, item.epoch, item.from_dialler)] = True
        self._installed[item.key] = item

    def remove_association(self, item: Association) -> bool:
        """Remove an association with its key; say whether it was there. Raises: OSError."""
        self._installed.pop(item.key, None)
        removed = [
            self._xfrm.remove_state(state) for state in self._states() if self._association(state).key == item.key
        ]
        return any(removed)

    def ensure_seal(self, item: Seal) -> None:
        """Demand ESP both ways, then let it pass the guard; a new SPI replaces at once. Raises: Foreign, OSError."""
        if item.port != self._port:
            raise Foreign(f"a seal for UDP port {item.port}, and ours is {self._port}")
        there = {policy.direction: policy for policy in self._policies() if _neighbour(policy.selector) == item.address}
        for direction, spi in ((IN, 0), (OUT, item.spi)):
            wanted = Policy(_selector(item.address, item.port, direction), direction, self._reqid, spi)
            if direction not in there:
                try:
                    self._xfrm.add_policy(wanted)
                except FileExistsError as error:
                    raise Foreign(
                        f"somebody else's IPsec policy covers UDP port {item.port} of {item.address}"
                    ) from error
            elif there[direction] != wanted:
                self._xfrm.replace_policy(wanted)
        guard.admit(guard.SEALED, item.address)

    def remove_seal(self, item: Seal) -> bool:
        """Close the guard for a neighbour, then demand nothing of it; say whether it was there. Raises: OSError."""
        removed = [guard.expel(guard.SEALED, item.address)]
        for policy in self._policies():
            if _neighbour(policy.selector) == item.address:
                removed.append(self._xfrm.remove_policy(policy))
        return any(removed)

    def remove_all(self) -> None:
        """Remove all policies and associations of ours. Raises: OSError."""
        for policy in self._policies():
            self._xfrm.remove_policy(policy)
        for state in self._states():
            self._xfrm.remove_state(state)
        self._installed.clear()

    @property
    def _xfrm(self) -> Xfrm:
        if self._opened is None:
            self._opened = Xfrm()
        return self._opened

    def _key(self, item: Association) -> bytes:
        secret = self._secret_of(item.session)
        if secret is None:
            raise BlockingIOError(errno.EAGAIN, f"the secret of session {item.session} is not known")
        # Secrets of sessions that have ended are gone, and nothing can be keyed by them again.
        self._used_keys = {used: True for used in self._used_keys if self._secret_of(used[0]) is not None}
        if (item.session, item.epoch, item.from_dialler) in self._used_keys:
            raise OSError(errno.EKEYREVOKED, f"key {item.epoch} of session {item.session} has served before")
        direction = keys.FROM_DIALLER if item.from_dialler else keys.FROM_ACCEPTOR
        salt = keys.derive(secret, SALT, direction, item.epoch)[:SALT_SIZE]
        return keys.derive(secret, keys.ESP, direction, item.epoch) + salt

    def _states(self) -> tuple[State, ...]:
        found = self._dump(lambda xfrm: xfrm.states())
        return tuple(state for state in found if state.reqid == self._reqid and self._covers(state.selector))

    def _policies(self) -> tuple[Policy, ...]:
        found = self._dump(lambda xfrm: xfrm.policies())
        return tuple(
            policy
            for policy in found
            if policy.reqid == self._reqid
            and policy.selector == _selector(_neighbour(policy.selector), self._port, policy.direction)
        )

    def _dump(self, action: Callable[[Xfrm], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return what a dump says: nothing where the kernel has no IPsec, for then nothing can be there."""
        try:
            return action(self._xfrm)
        except OSError as error:
            if error.errno == errno.EPROTONOSUPPORT:
                return ()
            raise

    def _covers(self, selector: Selector) -> bool:
        return selector.port == self._port and (selector.source is None) != (selector.destination is None)

    def _association(self, state: State) -> Association:
        """Return an association as anybody's of ours."""
        is_inbound = state.selector.source is not None
        address = _neighbour(state.selector)
        return Association(address, is_inbound, state.spi, self._port, NO_SESSION, NO_EPOCH, from_dialler=False)


def _selector(address: str, port: int, direction: int) -> Selector:
    # Our own address stays open: which one the route has may change, and is checked by nobody else either.
    return Selector(address, None, port) if direction == IN else Selector(None, address, port)


def _neighbour(selector: Selector) -> str:
    return selector.source or selector.destination or ""


def _source_towards(ipr: IPRoute, address: str) -> str | None:
    """Return the address of ours from which the kernel sends to an address; None without a route."""
    try:
        source = ipr.route("get", dst=address)[0].get("prefsrc")
    except NetlinkError:
        return None
    return None if source is None else str(source)
