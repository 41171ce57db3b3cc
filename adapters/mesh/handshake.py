"""What is said on a new connection before the first frame: who has a password, and its proof. Bytes in, bytes out.

    dialler                                        acceptor
    preamble [share]   ------------------------->
                       <-------------------------  preamble [share]
    [proof]            ------------------------->
                       <-------------------------  [proof]

A preamble is `weave`, the least and the greatest version, flags, and 32 random bytes: 40 bytes; share and proof have 32
each and exist only if both have a password. Nobody may say more than 104 bytes before it has proved what it knows.

With a password: SPAKE2 (RFC 9382; the dialler is A). The shares tell nothing of the password, and each side can test
one guess per connection: the one it made its share from. Who speaks its proof first lets the other test that guess in
silence. That is the dialler: strangers call us whenever they like, and learn nothing from us until their proof has
convinced us, so each guess is a failure that we see and count; whom we dial, and how often, we decide ourselves. Proofs
and secrets are bound to both preambles and shares: whoever changes a byte on the way, a flag or a version to talk both
into less, makes the proofs fail. The scalars behind the shares are forgotten with the handshake, so a password that
leaks later opens nothing of before.

Without a password on either side there is no protection: the secret follows from what anybody can read along, and only
tells sessions apart. If just one side has a password, both hang up, in Weave Net's words.

The machine says how many bytes it wants next; nothing else may be fed to it, and whoever feeds it need not keep more.

Source: SPAKE2 by Abdalla and Pointcheval, as in the package `spake2`; proofs as in RFC 9382, section 4.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

MAGIC = b"weave"
VERSION_MIN, VERSION_MAX = 3, 3
"""1 and 2 are Weave Net's own, which begin alike, so each can tell why it is refused."""
HAS_PASSWORD = 0x01
RANDOM_SIZE = 32
PREAMBLE_SIZE = len(MAGIC) + 3 + RANDOM_SIZE
SHARE_SIZE = 32
PROOF_SIZE = 32
SECRET_SIZE = 32
DIALLER = b"weavenet control 3, dialler"
ACCEPTOR = b"weavenet control 3, acceptor"
"""Identities of SPAKE2: roles, for hosts are nobody in particular until they have said Hello."""
ONLY_WE = "password specified, but peer requested an unencrypted connection"
ONLY_THEY = "no password specified, but peer requested an encrypted connection"
"""Weave Net's words."""
NOT_ACCEPTED = "the peer has not accepted our proof: its password is another one"
WRONG = "the peer's proof is wrong: its password is another one"

Entropy = Callable[[int], bytes]
"""Returns so many bytes that nobody can guess."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Both sides may talk."""

    secret: bytes = field(repr=False)
    """For the data path and the name of the session; alike at both ends, 32 bytes."""
    control: bytes = field(repr=False)
    """For this connection alone, 32 bytes; does not follow from `secret`, which is kept for longer."""
    is_sealed: bool
    """Both have proved that they know the password, and nobody else knows the secrets."""
    version: int
    """What both speak."""


@dataclass(frozen=True, slots=True)
class Refused:
    """There is nothing to talk about."""

    reason: str
    """Why, for people."""


class Handshake:
    """One side of one handshake."""

    def __init__(self, *, is_dialler: bool, key: bytes | None, entropy: Entropy = os.urandom) -> None:
        """Begin as one who dialled or was dialled; `key` is the stretched password, None if there is none."""
        self._is_dialler = is_dialler
        flags = 0 if key is None else HAS_PASSWORD
        self._preamble = MAGIC + bytes((VERSION_MIN, VERSION_MAX, flags)) + entropy(RANDOM_SIZE)
        self._spake: Any = None if key is None else _spake(key, is_dialler=is_dialler, entropy=entropy)
        self._share = b""
        self._transcript = b""
        self._version = VERSION_MAX
        self._agreed: Agreed | None = None
        self._our_proof = self._their_proof = b""
        self._has_tried = False
        self._next = self._heard_magic
        self.wants = len(MAGIC)
        """Bytes to receive next."""
        self.outcome: Agreed | Refused | None = None
        """How it ended; None while it goes on."""

    @property
    def is_guess(self) -> bool:
        """Say whether the other side has made an attempt at the password that has not, or not yet, gone well."""
        return self._has_tried and not isinstance(self.outcome, Agreed)

    def begin(self) -> bytes:
        """Return what to say first; to be called once."""
        if not self._is_dialler:
            return b""
        if self._spake is not None:
            self._share = self._spake.start()[1:]
        return self._preamble + self._share

    def receive(self, data: bytes) -> bytes:
        """Take exactly `wants` bytes; return what to say, which is to be said even if the outcome is a refusal."""
        assert self.outcome is None, "not over"
        assert len(data) == self.wants, "as many as wanted"
        return self._next(data)

    def ended(self, why: str) -> Refused:
        """Note that nothing more comes, for a reason of the connection; return the outcome."""
        if self._has_tried and self._is_dialler:
            why = f"{NOT_ACCEPTED} ({why})"
        elif not self._transcript:
            why = f"{why} before it has greeted us"
        else:
            why = f"{why} in the handshake"
        return self._refuse(why)

    def _heard_magic(self, data: bytes) -> bytes:
        # On its own, so that who speaks something else need not say 40 bytes of it to learn that.
        if data == MAGIC:
            self.wants, self._next = PREAMBLE_SIZE - len(MAGIC), self._heard_preamble
        else:
            self._refuse("it does not begin as a peer does")
        return b""

    def _heard_preamble(self, data: bytes) -> bytes:
        reply = b"" if self._is_dialler else self._preamble
        least, greatest, flags = data[:3]
        has_password = bool(flags & HAS_PASSWORD)
        if max(least, VERSION_MIN) > min(greatest, VERSION_MAX):
            ours = f"{VERSION_MIN}..{VERSION_MAX}"
            self._refuse(f"it speaks versions {least}..{greatest} of the handshake, we speak {ours}: upgrade one")
        elif has_password != (self._spake is not None):
            self._refuse(ONLY_THEY if has_password else ONLY_WE)
        elif data[-RANDOM_SIZE:] == self._preamble[-RANDOM_SIZE:]:
            self._refuse("it sends our own words back")
        else:
            self._version = min(greatest, VERSION_MAX)
            first, second = (self._preamble, MAGIC + data) if self._is_dialler else (MAGIC + data, self._preamble)
            self._transcript = first + second
            if has_password:
                # The acceptor says nothing before it has heard a share, so that it has to say less to strangers.
                self.wants, self._next = SHARE_SIZE, self._heard_share
                return b""
            self.outcome = self._agreement(b"", is_sealed=False)
        return reply

    def _heard_share(self, data: bytes) -> bytes:
        from adapters.mesh.ed25519 import is_element

        self._has_tried = True
        if not self._is_dialler:
            self._share = self._spake.start()[1:]
        key = self._shared_key(data) if is_element(data) else None
        if key is None:
            self._refuse("its share is not one that the handshake makes")
            return b""
        first, second = (self._share, data) if self._is_dialler else (data, self._share)
        self._transcript += first + second
        self._agreed = self._agreement(key, is_sealed=True)
        proofs = [self._bound(key, person) for person in (b"weave proof o", b"weave proof i")]
        self._our_proof, self._their_proof = proofs if self._is_dialler else reversed(proofs)
        self._spake = None
        self.wants, self._next = PROOF_SIZE, self._heard_proof
        return self._our_proof if self._is_dialler else self._preamble + self._share

    def _heard_proof(self, data: bytes) -> bytes:
        if not hmac.compare_digest(data, self._their_proof):
            self._refuse(WRONG)
            return b""
        self.outcome, self._agreed = self._agreed, None
        return b"" if self._is_dialler else self._our_proof

    def _shared_key(self, share: bytes) -> bytes | None:
        """Return what both can compute, 32 bytes; None for a share that leads to no point, or that is our own."""
        from nacl.exceptions import RuntimeError as NoPoint
        from spake2 import SPAKEError

        side = b"B" if self._is_dialler else b"A"
        try:
            return bytes(self._spake.finish(side + share))
        except (NoPoint, SPAKEError):
            return None

    def _agreement(self, key: bytes, *, is_sealed: bool) -> Agreed:
        secret, control = self._bound(key, b"weave link"), self._bound(key, b"weave channel")
        return Agreed(secret, control, is_sealed, self._version)

    def _bound(self, key: bytes, person: bytes) -> bytes:
        """Return 32 bytes for one use that follow from the key and from all that was said."""
        return blake2b(self._transcript, digest_size=SECRET_SIZE, key=key, person=person).digest()

    def _refuse(self, reason: str) -> Refused:
        self.outcome = refused = Refused(reason)
        self._spake = self._agreed = None
        return refused


def _spake(key: bytes, *, is_dialler: bool, entropy: Entropy) -> Any:
    # Here and not above: it brings 12 MB of OpenSSL along, which agents without a password need not carry.
    from spake2 import SPAKE2_A, SPAKE2_B

    from adapters.mesh.ed25519 import PARAMETERS

    side = SPAKE2_A if is_dialler else SPAKE2_B
    return side(key, idA=DIALLER, idB=ACCEPTOR, params=PARAMETERS, entropy_f=entropy)
