"""Peers are called as people call them, unless that could mean another one."""

from __future__ import annotations

from ipam_cluster import Cluster

from core.ipam.labels import SHOWN_MAX, TYPED_MAX, Labels
from core.kinds import PeerRecord, peer_key, put


def test_nicknames_are_used_while_they_are_unique() -> None:
    cluster = Cluster(3)
    cluster.settle()
    one, two, _ = cluster.hosts
    labels = Labels(one.context)
    assert [labels.of(host.name) for host in cluster] == ["h1", "h2", "h3"]
    two.do(lambda: two.context.write(put(peer_key(), PeerRecord("h1", "0", 6783, 0))))
    cluster.settle()
    assert [labels.of(host.name) for host in cluster] == [one.name, two.name, "h3"]
    assert labels.of("7e:00:00:00:00:01") == "7e:00:00:00:00:01", "never heard of"


def test_a_sentence_names_a_few_and_a_command_all() -> None:
    labels = Labels(Cluster(1).hosts[0].context)
    names = tuple(f"7e:00:00:00:00:{index:02x}" for index in range(TYPED_MAX + 1))
    assert labels.listed(names[:2]) == f"{names[0]}, {names[1]}"
    assert labels.listed(names) == ", ".join([*names[:SHOWN_MAX], "..."])
    assert labels.typed(names[:TYPED_MAX]) == " ".join(names[:TYPED_MAX])
    assert labels.typed(names).endswith(f"{names[TYPED_MAX - 1]} ...")
