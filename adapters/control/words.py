"""The words of commands, and what the agent says to them. Standard library only: commands start in milliseconds."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

ADDRESS = re.compile(r"(ip:|net:)?(\d{1,3}(\.\d{1,3}){3}/\d{1,2}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*/\d{1,3})|net:default")


class Failure(Exception):
    """What the user is told before the command ends with status 1."""


class Misuse(Exception):
    """The words make no sense: usage is shown."""


class Container(NamedTuple):
    """What a user has named."""

    name: str
    """Its identity."""
    netns: str = ""
    """Path of its network namespace; empty when it does not run."""
    fqdn: str = ""
    """Its host name with domain; empty when it has no domain."""


def ask_or_fail(method: str, path: str, form: list[tuple[str, str]] | None = None) -> str:
    """Return the agent's answer. Raises: Failure with its words."""
    from adapters.control.client import Refused

    try:
        return ask_raw_or_fail(method, path, form)
    except Refused as error:
        raise Failure(str(error)) from error


def ask_raw_or_fail(method: str, path: str, form: list[tuple[str, str]] | None = None) -> str:
    """Return the agent's answer. Raises: Failure when there is no agent, client.Refused."""
    from adapters.control.client import NotRunning

    try:
        return ask_raw(method, path, form)
    except NotRunning as error:
        raise Failure(str(error)) from error


def ask_raw(method: str, path: str, form: list[tuple[str, str]] | None = None) -> str:
    """Return the agent's answer. Raises: client.NotRunning, client.Refused."""
    from adapters.control.client import ask

    return ask(runtime_directory() / "control.sock", method, path, form or ())


def try_to_ask(method: str, path: str) -> None:
    """Ask, where no answer is an answer, too: what follows does not depend on it."""
    from adapters.control.client import NotRunning, Refused

    try:
        ask_raw(method, path)
    except (NotRunning, Refused):
        return


def runtime_directory() -> Path:
    """Return where the agent's socket is."""
    return Path(os.environ.get("WEAVE_RUNTIME_DIR") or "/var/run/weave")


def leading_addresses(words: list[str]) -> tuple[list[str], list[str]]:
    """Split words into leading addresses and the rest."""
    count = 0
    while count < len(words) and ADDRESS.fullmatch(words[count]):
        count += 1
    return words[:count], words[count:]


def container_of(word: str, *, must_exist: bool = True) -> Container:
    """Return which container is meant. Raises: Failure when there is none."""
    if "/" in word:
        found = re.fullmatch(r"/proc/(\d+)/ns/net", word)
        name, path = (f"pid-{found[1]}" if found else word.rstrip("/").rpartition("/")[2]), os.path.abspath(word)
    elif os.path.exists(f"/run/netns/{word}"):
        name, path = word, f"/run/netns/{word}"
    elif word.isdigit():
        name, path = f"pid-{word}", f"/proc/{word}/ns/net"
    else:
        return _docker_container(word, must_exist=must_exist)
    if must_exist and not os.path.exists(path):
        raise Failure(f"there is no network namespace {path}: start the container first")
    if must_exist and os.path.samefile(path, "/proc/self/ns/net"):
        raise Failure(
            "Container is running in the host network namespace, and therefore cannot be\n"
            "connected to weave - perhaps the container was started with --net=host"
        )
    return Container(name, path)


def _docker_container(word: str, *, must_exist: bool) -> Container:
    import json

    from adapters.control.client import NotRunning, Refused, ask

    try:
        found = json.loads(ask(_docker_socket(), "GET", f"/containers/{quoted(word)}/json"))
    except (NotRunning, Refused, ValueError) as error:
        if not must_exist:
            return Container(word)
        text = f"Error: No such container: {word}: it is no namespace in /run/netns"
        raise Failure(f"{text}, no process id, and no Docker container ({error})") from error
    pid = found["State"]["Pid"]
    if not pid and must_exist:
        raise Failure(f"Container {word} is not running; start it first")
    if pid and os.path.samefile(f"/proc/{pid}/ns/net", "/proc/self/ns/net"):
        return container_of(f"/proc/{pid}/ns/net")
    host, domain = (str(found["Config"].get(name) or "") for name in ("Hostname", "Domainname"))
    fqdn = f"{host}.{domain}" if domain else host
    return Container(str(found["Id"]), f"/proc/{pid}/ns/net", fqdn if "." in fqdn else "")


def docker_state(container: str) -> tuple[str, str]:
    """Return the state of a Docker container, empty when there is none, and why Docker could not be asked."""
    import json

    from adapters.control.client import NotRunning, NotThere, Refused, ask

    try:
        found = json.loads(ask(_docker_socket(), "GET", f"/containers/{quoted(container)}/json"))
        return str(found["State"]["Status"]), ""
    except NotThere:
        return "", ""
    except (NotRunning, Refused, ValueError, KeyError, TypeError) as error:
        return "", f"no answer at {_docker_socket()}" if isinstance(error, NotRunning) else str(error)


def _docker_socket() -> Path:
    return Path(os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/var/run/docker.sock")


def bare(cidrs: str) -> str:
    """Return addresses without their prefix lengths."""
    return " ".join(cidr.partition("/")[0] for cidr in cidrs.split())


def quoted(text: str) -> str:
    """Return a text as a part of a path."""
    from urllib.parse import quote

    return quote(text, safe="")


def no_words(words: list[str]) -> None:
    """Raise Misuse when there are any."""
    if words:
        raise Misuse
