"""Carries out the handshake on a connection, within limits of time and attempts.

Callers and those we call are counted apart: whoever fails from a peer's address cannot keep us from calling that peer.
"""

from __future__ import annotations

import asyncio

from adapters.mesh.admission import Admission
from adapters.mesh.handshake import Agreed, Handshake, Refused

HANDSHAKE_TIMEOUT_S = 10.0
"""For two round trips. Source: Weave Net."""
TOO_MANY = "too many attempts with another password at this address: it has to wait up to a minute"


class Greeter:
    """Greets whoever is at the other end."""

    def __init__(self, key: bytes | None) -> None:
        """Prove and ask for `key`, the stretched password; None if there is none."""
        self._key = key
        self._callers = Admission()
        self._called = Admission()

    async def greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, *, is_dialler: bool
    ) -> Agreed | Refused:
        """Return what came of it; what is still to be sent then, and the connection, are the caller's to care for."""
        handshake = Handshake(is_dialler=is_dialler, key=self._key)
        if self._key is None:
            return await _carry_out(handshake, reader, writer)
        admission = self._called if is_dialler else self._callers
        if not admission.charge(address):
            return Refused(TOO_MANY)
        try:
            return await _carry_out(handshake, reader, writer)
        finally:
            # Also when it is cut off: only what went well, or was no attempt, is paid back.
            if not handshake.is_guess:
                admission.pay_back(address)


async def _carry_out(
    handshake: Handshake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Agreed | Refused:
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            writer.write(handshake.begin())
            while handshake.outcome is None:
                writer.write(handshake.receive(await reader.readexactly(handshake.wants)))
            return handshake.outcome
    except TimeoutError:
        return handshake.ended(f"nothing heard for {HANDSHAKE_TIMEOUT_S:g} seconds")
    except asyncio.IncompleteReadError:
        return handshake.ended("EOF")
    except OSError as error:
        return handshake.ended(str(error.strerror or error).lower())
