"""What every name answers here: the union of what present hosts say, brought up to date piece by piece.

Of each host the facts of its newest life count, so that what it has taken back, or what was true before it restarted,
never returns. A change costs what is said under the names that it touches, a host that comes or goes its own names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from core.context import Context
from core.effects import ServeNames
from core.kinds import LinkRecord, NameRecord, PortRecord, TextRecord
from core.naming.answers import HostAnswer, NameAnswers, ServiceAnswer, TextAnswer
from core.naming.fqdn import is_within, key_of, problem_of
from core.naming.presence import Presence
from core.naming.records import KINDS, Record, record_of
from core.naming.status import NameStatus
from core.types import V4_MAPPED, Address, PeerName

ANSWERS_MAX = 1_024
"""Of one name and one kind: what fits into the largest message of DNS over TCP, with room to spare."""
TTL_MAX_S = 604_800
"""A week, as RFC 2181 §8 allows resolvers to cut it."""
NUMBER_MAX = 65_535
TEXT_SIZE_MAX = 255


class Zone:
    """All names, and what the name server has been told of them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._presence = Presence(context)
        self._news = context.board.watch_keys(KINDS)
        self._links = context.board.watch(LinkRecord)
        self._by_peer: dict[PeerName, dict[str, Record]] = {}
        self._by_name: dict[str, dict[tuple[PeerName, str], Record]] = {}
        self._shown: dict[str, NameAnswers] = {}
        self._changed: dict[str, None] = {}
        self.reached: Collection[PeerName] = ()
        """Peers that frames reach, as last looked at."""
        self.connected: frozenset[PeerName] = frozenset()
        """Peers that letters reach, likewise."""
        self._is_asked = False

    def answers(self, key: str) -> NameAnswers | None:
        """Return what a name answers; None when there is no such name."""
        return self._shown.get(key)

    def asked(self) -> None:
        """Tell a name server everything that has just started."""
        self._is_asked = True
        self._tell()

    def facts_changed(self, reached: Collection[PeerName], connected: frozenset[PeerName]) -> None:
        """Take in what has changed, and tell the name server. Cheap when nothing has.

        Frames reach the one, letters the others; the same objects come while they are the same.
        """
        if reached is not self.reached or connected is not self.connected:
            self.reached, self.connected = reached, connected
            for peer in self._presence.look(reached, connected):
                self._touch(peer)
        for peer in self._presence.heard_of(sorted(peer for peer in self._links if peer in connected)):
            self._touch(peer)
        self._links.clear()
        for peer, keys in self._news.items():
            self._read(peer, keys)
        self._news.clear()
        self._tell()

    def timer(self, name: str) -> None:
        """Withhold the names of a peer that has been gone for long enough."""
        peer = self._presence.timer(name)
        if peer is not None:
            self._touch(peer)
            self._tell()

    def describe(self) -> tuple[NameStatus, ...]:
        """Return every address of every name, by name, writer, container and address. O(names)."""
        found = []
        for key in sorted(self._by_name):
            for (peer, _), record in sorted(self._by_name[key].items(), key=_place):
                if isinstance(record, NameRecord):
                    found.append(
                        NameStatus(
                            name=record.name,
                            address=Address(record.address),
                            container=record.container,
                            peer=peer,
                            ttl_s=self._ttl_s(record),
                            is_present=self._presence.is_present(peer),
                            why=record.why,
                            at_ms=record.at_ms,
                        )
                    )
        return tuple(found)

    def _read(self, peer: PeerName, keys: Iterable[str]) -> None:
        """Take in what a peer says under some keys."""
        board, domain = self._context.board, self._context.config.domain
        records = self._by_peer.setdefault(peer, {})
        for key in keys:
            record = record_of(board, peer, key)
            if record is not None and not (_is_sound(record) and is_within(record.name, domain)):
                record = None
            old = records.get(key)
            if old == record:
                continue
            if old is not None:
                del records[key]
                self._drop(peer, key, old)
            if record is not None:
                records[key] = record
                name = _name_of(record)
                self._by_name.setdefault(name, {})[peer, key] = record
                self._changed[name] = None
        if not records:
            del self._by_peer[peer]

    def _drop(self, peer: PeerName, key: str, record: Record) -> None:
        name = _name_of(record)
        entries = self._by_name[name]
        del entries[peer, key]
        if not entries:
            del self._by_name[name]
        self._changed[name] = None

    def _touch(self, peer: PeerName) -> None:
        for record in self._by_peer.get(peer, {}).values():
            self._changed[_name_of(record)] = None

    def _tell(self) -> None:
        news = []
        for key in sorted(self._changed):
            answers = self._answers(key)
            if answers == self._shown.get(key, NameAnswers(key)):
                continue
            news.append(answers)
            if answers == NameAnswers(key):
                del self._shown[key]
            else:
                self._shown[key] = answers
        self._changed.clear()
        if not self._context.config.dns:
            return
        if self._is_asked:
            self._is_asked = False
            self._context.emit(ServeNames(tuple(self._shown[key] for key in sorted(self._shown)), is_whole=True))
        elif news:
            self._context.emit(ServeNames(tuple(news)))

    def _answers(self, key: str) -> NameAnswers:
        hosts: dict[tuple[int, str, int], HostAnswer] = {}
        services: dict[tuple[int, int, str, int], ServiceAnswer] = {}
        texts: dict[str, TextAnswer] = {}
        for (peer, _), record in sorted(self._by_name.get(key, {}).items(), key=_place):
            if not self._presence.is_present(peer):
                continue
            rank, ttl_s = int(peer != self._context.me), self._ttl_s(record)
            match record:
                case NameRecord():
                    host = HostAnswer(record.name, Address(record.address), ttl_s, rank)
                    hosts[rank, record.name, record.address] = host
                case PortRecord():
                    service = ServiceAnswer(record.name, record.port, record.priority, record.weight, ttl_s, rank)
                    services[record.priority, rank, record.name, record.port] = service
                case TextRecord():
                    texts.update((text, TextAnswer(text, ttl_s)) for text in record.texts)
        # An address that a name has here and, by a mistake, elsewhere is answered once.
        once: dict[tuple[str, int], HostAnswer] = {}
        for (_, name, address), host in sorted(hosts.items()):
            once.setdefault((name, address), host)
        return NameAnswers(
            key,
            tuple(once.values())[:ANSWERS_MAX],
            tuple(services[place] for place in sorted(services))[:ANSWERS_MAX],
            tuple(texts[text] for text in sorted(texts))[:ANSWERS_MAX],
        )

    def _ttl_s(self, record: Record) -> int:
        return self._context.config.dns_ttl_s if record.ttl_s < 0 else record.ttl_s


def _place(item: tuple[tuple[PeerName, str], Record]) -> tuple[PeerName, str]:
    return item[0]


def _name_of(record: Record) -> str:
    if isinstance(record, PortRecord):
        return key_of(f"{record.service}.{record.name}")
    return key_of(record.name)


def _is_sound(record: Record) -> bool:
    """Say whether a fact, which anybody may have written, can be answered."""
    if problem_of(record.name) or not -1 <= record.ttl_s <= TTL_MAX_S:
        return False
    match record:
        case NameRecord():
            return 0 < record.address < 1 << 128 and record.address != V4_MAPPED
        case PortRecord():
            numbers = (record.port, record.priority, record.weight)
            is_name = not problem_of(f"{record.service}.{record.name}")
            return is_name and record.port > 0 and all(0 <= number <= NUMBER_MAX for number in numbers)
        case TextRecord():
            return all(len(text.encode("utf-8", "replace")) <= TEXT_SIZE_MAX for text in record.texts)
