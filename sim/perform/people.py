"""Performs what people, scripts and container runtimes do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from core.events import (
    Allocate,
    AttachAsked,
    Claim,
    Connect,
    ContainerGone,
    DetachAsked,
    Forget,
    Free,
    Leave,
    NameAdd,
    NameRemove,
)
from core.events import RemovePeers as RemoveCommand
from core.kinds import PeerRecord, peer_key
from core.naming.registry import port_of
from core.types import address_of as ip_of
from sim import actions
from sim.actions import Action, HostIndex
from sim.host import Host
from sim.names import TOGETHER, address_of, name_of, netns_of
from sim.scene import Scene

PORT, TEXT = "_http._tcp=80", "v=1"
"""What names that are added say besides addresses."""


def calm(scene: Scene) -> None:
    """Let everybody find everybody."""
    for host in scene.world.hosts:
        # What somebody told it to forget would keep it away for ever.
        for target in scene.scenario.hosts[host.index].targets:
            scene.operate(host, Connect((address_of(target),), False))


def relieve(scene: Scene) -> None:
    """Give back so much space that nobody waits for want of it."""
    for host in scene.world.hosts:
        free = [name for name, user in scene.books.users[host.index].items() if not user.is_attached]
        if free:
            _give_back(scene, actions.GiveBack(HostIndex(host.index), tuple(free)))


def _attach(scene: Scene, action: actions.Attach) -> bool:
    host, name = scene.world.hosts[action.host], action.container
    if not scene.new_user(host, name, is_attached=True):
        return False
    host.netns[netns_of(name)] = None
    request = scene.asking(host, name, "attach")
    scene.world.apply(
        host, AttachAsked(request, name, "ethwe", netns_of(name), (), True, names=(name_of(name), TOGETHER))
    )
    return True


def _detach(scene: Scene, action: actions.Detach) -> bool:
    host, name = scene.world.hosts[action.host], action.container
    if not scene.is_idle(host, name, is_attached=True):
        return False
    request = scene.asking(host, name, "detach")
    scene.books.let_go(host.index, name)
    scene.world.apply(host, DetachAsked(request, name, "ethwe", ()))
    return True


def _end_container(scene: Scene, action: actions.EndContainer) -> bool:
    host, name = scene.world.hosts[action.host], action.container
    # A container may end while no agent looks, and the next one finds its namespace gone; or before it is attached.
    user = scene.books.users[host.index].get(name)
    is_coming = any((one.user, one.kind) == (name, "attach") for one in scene.books.pending[host.index].values())
    if user is None or not user.is_attached or not (is_coming or scene.is_settled(host, name, is_attached=True)):
        return False
    scene.books.let_go(host.index, name)
    scene.world.end_netns(host, name)
    scene.world.apply(host, ContainerGone(name))
    return True


def _take(scene: Scene, action: actions.Take) -> bool:
    host = scene.world.hosts[action.host]
    names = [name for name in action.idents if scene.new_user(host, name, is_attached=False)]
    for name in names:
        scene.command(host, name, "take", Allocate(name, ""))
    return bool(names)


def _claim_again(scene: Scene, action: actions.ClaimAgain) -> bool:
    host, name = scene.world.hosts[action.host], action.ident
    if not scene.is_idle(host, name, is_attached=False):
        return False
    address = scene.books.users[host.index][name].addresses[0]
    scene.command(host, name, "claim", Claim(name, f"{address}/12"))
    return True


def _claim_address(scene: Scene, action: actions.ClaimAddress) -> bool:
    host, name = scene.world.hosts[action.host], action.ident
    universe = host.config.universe
    try:
        is_inside = universe is not None and ip_of(action.address) in universe
    except ValueError:
        return False
    if not is_inside or not scene.new_user(host, name, is_attached=False):
        return False
    scene.command(host, name, "claim-address", Claim(name, f"{action.address}/12"), action.address)
    return True


def _give_back(scene: Scene, action: actions.GiveBack) -> bool:
    host = scene.world.hosts[action.host]
    names = [name for name in action.idents if scene.is_idle(host, name, is_attached=False)]
    for name in names:
        scene.books.let_go(host.index, name)
        scene.command(host, name, "give-back", Free(name, ""))
    return bool(names)


def _add_name(scene: Scene, action: actions.AddName) -> bool:
    host, key = scene.world.hosts[action.host], name_of(action.name).lower()
    if not scene.is_idle(host, action.container, is_attached=True):
        return False
    addresses = scene.books.users[host.index][action.container].addresses
    ports, texts = (PORT,) if action.has_port else (), (TEXT,) if action.has_text else ()
    answers = [(key, address) for address in addresses]
    answers += [(f"{port_of(port).service}.{key}", f"{name_of(action.name)}:{port_of(port).port}") for port in ports]
    answers += [(key, text) for text in texts]
    if not scene.books.names.add(host.index, action.name, action.container, tuple(answers)):
        return False
    wanted = NameAdd(action.container, name_of(action.name), addresses, -1, ports, texts)
    scene.command(host, action.name, "add-name", wanted)
    return True


def _remove_name(scene: Scene, action: actions.RemoveName) -> bool:
    host = scene.world.hosts[action.host]
    if host.heart is None or not scene.books.names.remove(host.index, action.name):
        return False
    scene.command(host, action.name, "remove-name", NameRemove("", name_of(action.name), ()))
    return True


def _connect_to(scene: Scene, action: actions.ConnectTo) -> bool:
    host = scene.world.hosts[action.host]
    return action.target != action.host and scene.operate(host, Connect((address_of(action.target),), False))


def _forget_target(scene: Scene, action: actions.ForgetTarget) -> bool:
    return scene.operate(scene.world.hosts[action.host], Forget((address_of(action.target),)))


def _remove_peers(scene: Scene, action: actions.RemovePeers) -> bool:
    host = scene.world.hosts[action.host]
    victims = [scene.world.hosts[index] for index in dict.fromkeys(action.peers)]
    if host.heart is None or not victims or host in victims:
        return False
    if "false-death" not in scene.scenario.allow and not all(victim.is_dark for victim in victims):
        return False
    for victim in victims:
        if victim.is_dark:
            # The operator's word: nothing that was there is used any more.
            for name in tuple(scene.books.users[victim.index]):
                scene.books.let_go(victim.index, name)
    names = tuple(_typed(host, victim) for victim in victims)
    scene.command(host, "", "remove", RemoveCommand(names, action.force))
    return True


def _typed(host: Host, other: Host) -> str:
    """Return what somebody on a host calls another one: its nickname, if that is known there."""
    assert host.heart is not None, "somebody types there"
    is_known = host.heart.board.get(other.config.peer, peer_key(), PeerRecord) is not None
    return other.name if is_known else other.config.peer


def _reset_host(scene: Scene, action: actions.ResetHost) -> bool:
    host = scene.world.hosts[action.host]
    # Who calls nobody would believe to be the first of a new network.
    is_sane = scene.is_known(host) and scene.has_agreed(host)
    if host.heart is None or not (is_sane or "amnesia" in scene.scenario.allow):
        return False
    # Containers live on without the network, and without names.
    scene.books.names.forget(host.index)
    for name in tuple(scene.books.users[host.index]):
        scene.books.let_go(host.index, name)
    scene.command(host, "", "reset", Leave())
    return True


def _relaunch(scene: Scene, action: actions.Relaunch) -> bool:
    host = scene.world.hosts[action.host]
    universe = scene.scenario.shared_by(action.universe)
    seed = scene.scenario.seed_of(action.ring, action.among)
    is_new = (universe, seed) != (host.config.universe, host.config.seed)
    if is_new and "two-rings" not in scene.scenario.allow:
        return False
    if host.heart is None and not scene.may_start(host):
        return False
    scene.world.crash(host, power=False)
    host.config = replace(host.config, universe=universe, seed=seed)
    scene.world.start(host)
    return True


# Each performs the action that its key names; the table is the proof.
PERFORM: dict[type[Action], Callable[[Scene, Any], bool]] = {
    actions.Attach: _attach,
    actions.Detach: _detach,
    actions.EndContainer: _end_container,
    actions.Take: _take,
    actions.ClaimAgain: _claim_again,
    actions.ClaimAddress: _claim_address,
    actions.GiveBack: _give_back,
    actions.AddName: _add_name,
    actions.RemoveName: _remove_name,
    actions.ConnectTo: _connect_to,
    actions.ForgetTarget: _forget_target,
    actions.RemovePeers: _remove_peers,
    actions.ResetHost: _reset_host,
    actions.Relaunch: _relaunch,
}
