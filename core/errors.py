"""The one error that what others send can cause.

Errors have three kinds (design §5): a bug is an assert and never caught; an operating failure is a value; a peer's
misbehaviour is `PeerFault`, raised while decoding and translated once into hanging up.
"""

from __future__ import annotations


class PeerFault(Exception):
    """Bytes from outside are not what they should be; the text names the rule that was broken."""
