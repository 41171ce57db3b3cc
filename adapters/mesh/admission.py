"""Who may try to prove a password, and how often: failed attempts are counted by address.

An attempt is paid for before it is made and paid back if it was none or went well, so attempts made at once count as
well as those made in turn. An address that has nothing left is hung up on before anything is computed for it. The
table is bounded: beyond, whoever is nearest to being forgiven is forgiven, so an attacker needs thousands of addresses
to gain anything.

Source: the generic cell rate algorithm (ITU-T I.371).
"""

from __future__ import annotations

import time
from collections.abc import Callable

BURST = 5
"""Failed attempts in a row, and attempts at once, of one address: several hosts may sit behind it."""
INTERVAL_S = 10.0
"""One more attempt after so long: 8,640 guesses a day, none of a good password."""
ADDRESSES_MAX = 4096
"""Addresses with something to be forgiven."""


class Admission:
    """Counts attempts."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` counts seconds."""
        self._now = now
        self._forgiven_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Return the number of addresses with something to be forgiven."""
        return len(self._forgiven_at)

    def charge(self, address: str) -> bool:
        """Take the price of one attempt; False if the address cannot pay."""
        now = self._now()
        due = max(now, self._forgiven_at.get(address, now)) + INTERVAL_S
        if due - now > BURST * INTERVAL_S:
            return False
        self._forgiven_at[address] = due
        if len(self._forgiven_at) > ADDRESSES_MAX:
            self._forget(now)
        return True

    def pay_back(self, address: str) -> None:
        """Give back the price of one attempt."""
        due = self._forgiven_at.get(address)
        if due is None:
            return
        if due - INTERVAL_S <= self._now():
            del self._forgiven_at[address]
        else:
            self._forgiven_at[address] = due - INTERVAL_S

    def _forget(self, now: float) -> None:
        """Drop who is forgiven; if nobody is, who is nearest to it. O(addresses), and then not for a while."""
        ordered = sorted(self._forgiven_at.items(), key=lambda item: item[1])
        keep_from = ADDRESSES_MAX // 8
        self._forgiven_at = {
            address: due for index, (address, due) in enumerate(ordered) if due > now and index >= keep_from
        }
