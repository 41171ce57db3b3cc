"""What earlier lives of this host have said and this one has not yet said again.

A host that lost its disk begins a new life with an empty stream; its neighbours still hold the old one. Until it is
adopted nothing may be given, for it says what is in use and what was given away.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.context import Context
from core.kinds import Body, parse
from crdt.fact import Origin


def earlier_lives(context: Context) -> tuple[Origin, ...]:
    """Return the streams of our own that are still to be adopted, oldest first.

    Needs a fact of the present life on the board.
    """
    now = context.board.incarnation(context.me)
    if now is None:
        return ()
    lives = context.store.lives(context.me)
    if not lives or lives[0].incarnation >= now:
        # As a rule there is but one life; this is asked at every event.
        return ()
    adopted = context.board.adopted(context.me)
    return tuple(origin for origin in lives if adopted < origin.incarnation < now)


def earlier_facts(context: Context) -> Iterator[tuple[str, Body]]:
    """Yield key and body of everything in them that can be read."""
    for origin in earlier_lives(context):
        stream = context.store.stream(origin)
        assert stream is not None, "origins come from the store"
        for fact in stream.live():
            body = None if fact.body is None else parse(fact.kind, fact.body)
            if body is not None:
                yield fact.key, body
