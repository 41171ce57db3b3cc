"""What the agent tells the name server of names; the server itself knows no type of the heart's."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.dns.control import packed
from core.effects import ServeNames
from core.naming.answers import NameAnswers

NAMES_PER_MESSAGE = 64
"""So that between two messages there is time for queries."""


def messages_of(effect: ServeNames) -> Iterator[bytes]:
    """Yield what tells the server to serve names."""
    if effect.is_whole:
        yield packed(["begin"])
    for at in range(0, len(effect.names), NAMES_PER_MESSAGE):
        yield packed(["names", [_row(answers) for answers in effect.names[at : at + NAMES_PER_MESSAGE]]])
    if effect.is_whole:
        yield packed(["end"])


def _row(answers: NameAnswers) -> tuple[object, ...]:
    """Return the arguments of `Table.set`."""
    hosts = [(host.name, host.address.to_bytes(16), host.ttl_s, host.rank) for host in answers.hosts]
    services = [(one.target, one.port, one.priority, one.weight, one.ttl_s, one.rank) for one in answers.services]
    texts = [(text.text, text.ttl_s) for text in answers.texts]
    return answers.key, hosts, services, texts
