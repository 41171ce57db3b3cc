"""Secrets of the sessions there are, for whoever protects the data path: found by the session's public name.

In memory only, and nowhere else: events, facts, logs and recordings speak of sessions by name. Any thread may ask. A
secret is kept as long as a connection has it, and a while longer, for frames under way and for tunnels that outlive the
connection until their replacement stands.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from core.keys import session_of

GRACE_S = 60.0
"""How long a secret outlives its last connection: as long as the mesh holds the link of an agent that restarts."""
LEFT_MAX = 1024
"""Secrets in their grace; beyond, those that left first go early, so that churn does not fill the memory."""


class Keyring:
    """Secrets by session."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` counts seconds."""
        self._now = now
        self._lock = threading.Lock()
        self._secrets: dict[str, bytes] = {}
        self._users: dict[str, int] = {}
        self._left: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._secrets)} sessions>"

    def add(self, secret: bytes) -> str:
        """Keep the secret of a connection; return the session's name. To be discarded as often as it was added."""
        session = session_of(secret)
        with self._lock:
            self._secrets[session] = secret
            self._users[session] = self._users.get(session, 0) + 1
            self._left.pop(session, None)
        return session

    def discard(self, session: str) -> None:
        """Note that one connection of a session is gone; the last one starts the grace."""
        with self._lock:
            self._users[session] -= 1
            if not self._users[session]:
                del self._users[session]
                self._left[session] = self._now()
        self.prune()

    def secret_of(self, session: str) -> bytes | None:
        """Return a secret, 32 bytes; None when there is no such session, or not any more."""
        self.prune()
        with self._lock:
            return self._secrets.get(session)

    def prune(self) -> None:
        """Forget what has outlived its grace."""
        with self._lock:
            # In the order of leaving, so the first that stays ends the search.
            for session, since in tuple(self._left.items()):
                if len(self._left) <= LEFT_MAX and self._now() - since < GRACE_S:
                    break
                del self._left[session], self._secrets[session]
