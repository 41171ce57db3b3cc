"""The command `weave`: reads its words, talks to the agent, prints. Imports only what the verb at hand needs."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

USAGE = """Usage:

weave --help | help
      version

weave launch        [options] [<peer> ...]
      agent         [options] [<peer> ...]   (in the foreground)
      stop
      reset         [--force]
      prime

weave status        [targets | connections | peers | ipam]
      report        [-f <format>]
      ps            [<container> ...]
      why           [--json] <address> | <name> | <peer> | <container>
      at            <time> status [targets | connections | peers | ipam]
      at            <time> report [-f <format>] | ps [<container> ...] | why <...>

weave attach        [<addr> ...] [--no-multicast-route] <container>
      detach        [<addr> ...] <container>

weave connect       [--replace] [<peer> ...]
      forget        <peer> ...
      rmpeer        [--force] <peer> ...

weave lab           up <file> | down | exec <host> -- <command> | cut <a> <b> | heal <a> <b> | status
weave sim           explore --seeds <a>:<b> | shrink <file> | replay <file> | timeline <file> | record <file> <seed>

where <peer>      = <ip address or host name>[:<port>]
      <addr>      = [ip:]<cidr> | net:<cidr> | net:default
      <time>      = 2026-11-25T10:15:00Z | 10:15[:30] (today, UTC) | -5m | 5m ago | <seconds since 1970>
      <container> = a Docker container, a process id, a network namespace by name or by path
"""
ADDRESS = re.compile(r"(ip:|net:)?(\d{1,3}(\.\d{1,3}){3}/\d{1,2}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*/\d{1,3})|net:default")
REMOVED = (
    *("run", "start", "restart", "launch-plugin", "stop-plugin"),
    *("launch-proxy", "stop-proxy", "launch-router", "stop-router"),
)
DEVICE = "ethwe"
EXIT_RUNNING = 3


class Failure(Exception):
    """What the user is told before the command ends with status 1."""


class Misuse(Exception):
    """The words make no sense: usage is shown."""


def main(argv: list[str] | None = None) -> int:
    """Run `weave` with these words; return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        return _usage("", 1)
    verb, rest = words[0], words[1:]
    if verb in ("help", "--help", "-h"):
        return _usage("", 0)
    if verb in REMOVED:
        print(f"The 'weave {verb}' command has been removed as of Weave Net version 2.0", file=sys.stderr)
        print("Please see release notes for further information", file=sys.stderr)
        return 1
    action = _VERBS.get(verb)
    if action is None:
        return _usage(f"Unknown weave command '{verb}'", 1)
    if rest[:1] == ["--help"] and verb not in ("launch", "agent", "lab", "sim"):
        return _usage("", 0)
    try:
        return int(action(rest) or 0)
    except Misuse as error:
        return _usage(str(error), 1)
    except Failure as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return 130


# Life of the agent.


def _launch(words: list[str]) -> int:
    from adapters.control import daemon
    from adapters.password import to_pipe

    if words[:1] == ["--help"]:
        return _show_options()
    password, words = _password("launch", words)
    runtime = _settings(words, has_password=bool(password)).runtime
    if daemon.running_pid(runtime) is not None:
        print("weave is already running; you can stop it with 'weave stop'.", file=sys.stderr)
        return EXIT_RUNNING
    try:
        pid = daemon.launch(runtime, words, to_pipe(password) if password else None)
    except (daemon.LaunchError, OSError) as error:
        raise Failure(str(error)) from error
    print(pid)
    return 0


def _agent(words: list[str]) -> int:
    if words[:1] == ["--help"]:
        return _show_options()
    ready_fd = None
    if words[:1] == ["--ready-fd"]:
        ready_fd, words = int(words[1]), words[2:]
    password, words = _password("agent", words)
    settings = _settings(words, has_password=bool(password))
    from adapters import agent
    from adapters.control import daemon
    from adapters.password import stretched

    if daemon.running_pid(settings.runtime) is not None:
        print("weave is already running; you can stop it with 'weave stop'.", file=sys.stderr)
        return EXIT_RUNNING
    settings.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    daemon.write_pid(settings.runtime)
    daemon.write_options(settings.runtime, words)
    try:
        return agent.run(settings, ready_fd, stretched(password) if password else None)
    finally:
        daemon.remove_pid(settings.runtime)


def _stop(words: list[str]) -> int:
    from adapters.control import daemon

    _no_words(words)
    runtime = _runtime()
    pid = daemon.running_pid(runtime)
    if pid is None:
        print("Weave is not running.", file=sys.stderr)
        return 0
    _try_to_ask("POST", "/stop")
    daemon.end(pid)
    daemon.remove_pid(runtime)
    return 0


def _reset(words: list[str]) -> int:
    from adapters.control import daemon

    if words not in ([], ["--force"]):
        raise Misuse
    if os.geteuid() != 0:
        raise Failure("weave must be run as 'root' when run locally")
    runtime = _runtime()
    # Port and bridge may be others than usual.
    settings = _settings(daemon.last_options(runtime))
    pid = daemon.running_pid(runtime)
    has_journal = any(settings.data.glob("journal.db"))
    if pid is None and has_journal and not words:
        text = "ERROR: weave is not running; unable to remove from cluster.\n"
        raise Failure(text + "Re-launch weave before reset or use --force to override.")
    if pid is not None:
        if not words:
            _ask("DELETE", "/peer")
        _try_to_ask("POST", "/stop")
        daemon.end(pid)
    from adapters import agent
    from adapters.journal_file import JournalError

    try:
        agent.reset(settings)
    except JournalError as error:
        raise Failure(str(error)) from error
    return 0


def _prime(words: list[str]) -> int:
    _no_words(words)
    _ask("GET", "/ring")
    return 0


# Looking.


def _version(words: list[str]) -> int:
    _no_words(words)
    from adapters.control.client import NotRunning
    from core.config import Config

    print(f"weave script {Config.__dataclass_fields__['version'].default}")
    try:
        print(f"weave {_ask_raw('GET', '/report?format=%7B%7B.Version%7D%7D')}")
    except NotRunning:
        print(f"weave {Config.__dataclass_fields__['version'].default}")
    return 0


def _status(words: list[str]) -> int:
    if len(words) > 1:
        raise Misuse
    from adapters.control.client import NotThere

    if not words:
        print(f"\n{_ask('GET', '/status')}")
        return 0
    try:
        print(_ask_raw_or_fail("GET", f"/status/{_quoted(words[0])}"), end="")
    except NotThere as error:
        raise Misuse(f"Invalid 'weave status' sub-command: {words[0]}") from error
    return 0


def _report(words: list[str]) -> int:
    if not words:
        print(_ask("GET", "/report"), end="")
        return 0
    if len(words) != 2 or words[0] != "-f":
        raise Misuse
    print(_ask("GET", f"/report?format={_quoted(words[1])}"), end="")
    return 0


def _ps(words: list[str]) -> int:
    from adapters.control.ps import ps_lines

    print("".join(f"{line}\n" for line in ps_lines(_ask("GET", "/ps"), words)), end="")
    return 0


def _at(words: list[str]) -> int:
    return _look_back("at", words)


def _why(words: list[str]) -> int:
    return _look_back("why", words)


def _look_back(verb: str, words: list[str]) -> int:
    from adapters.control import daemon, past_verbs

    try:
        answer = past_verbs.VERBS[verb](words, _ask_raw, lambda: _settings(daemon.last_options(_runtime())))
    except past_verbs.BadWords as error:
        raise Misuse from error
    except past_verbs.NoAnswer as error:
        raise Failure(str(error)) from error
    print(answer, end="")
    return 0


# Changing.


def _attach(words: list[str]) -> int:
    multicast = True
    addresses, rest = _addresses(words)
    while rest and rest[0].startswith("--"):
        if rest[0] != "--no-multicast-route":
            raise Misuse
        multicast, rest = False, rest[1:]
    if len(rest) != 1:
        raise Misuse
    container, netns = _container(rest[0])
    form = [("container", container), ("ifname", DEVICE), ("netns", netns), ("multicast", str(multicast).lower())]
    print(_bare(_ask("POST", "/attach", [*form, *(("address", address) for address in addresses)])))
    return 0


def _detach(words: list[str]) -> int:
    addresses, rest = _addresses(words)
    if len(rest) != 1:
        raise Misuse
    container, _ = _container(rest[0], must_exist=False)
    form = [("container", container), ("ifname", DEVICE), *(("address", address) for address in addresses)]
    print(_bare(_ask("POST", "/detach", form)))
    return 0


def _connect(words: list[str]) -> int:
    replace = words[:1] == ["--replace"]
    peers = words[1:] if replace else words
    if not words or any(peer.startswith("-") for peer in peers):
        raise Misuse
    form = [("peer", peer) for peer in peers]
    _ask("POST", "/connect", [*form, ("replace", "true")] if replace else form)
    return 0


def _forget(words: list[str]) -> int:
    if not words:
        raise Misuse
    _ask("POST", "/forget", [("peer", peer) for peer in words])
    return 0


def _rmpeer(words: list[str]) -> int:
    force = "--force" in words
    names = [word for word in words if word != "--force"]
    if not names:
        raise Misuse
    also = "".join(f"&also={_quoted(name)}" for name in names[1:])
    if sys.stderr.isatty():
        print("asking all peers that may own addresses from there ...", file=sys.stderr)
    print(_ask("DELETE", f"/peer/{_quoted(names[0])}?force={str(force).lower()}{also}").rstrip("\n"))
    return 0


def _lab(words: list[str]) -> int:
    from adapters.control import lab

    return lab.main(words)


def _sim(words: list[str]) -> int:
    from sim import cli

    return cli.main(words)


# Helpers.


def _ask(method: str, path: str, form: list[tuple[str, str]] | None = None) -> str:
    """Return the agent's answer. Raises: Failure with its words."""
    from adapters.control.client import Refused

    try:
        return _ask_raw_or_fail(method, path, form)
    except Refused as error:
        raise Failure(str(error)) from error


def _ask_raw_or_fail(method: str, path: str, form: list[tuple[str, str]] | None = None) -> str:
    """Return the agent's answer. Raises: Failure when there is no agent, client.Refused."""
    from adapters.control.client import NotRunning

    try:
        return _ask_raw(method, path, form)
    except NotRunning as error:
        raise Failure(str(error)) from error


def _ask_raw(method: str, path: str, form: list[tuple[str, str]] | None = None) -> str:
    from adapters.control.client import ask

    return ask(_runtime() / "control.sock", method, path, form or ())


def _try_to_ask(method: str, path: str) -> None:
    """Ask, where no answer is an answer, too: what follows does not depend on it."""
    from adapters.control.client import NotRunning, Refused

    try:
        _ask_raw(method, path)
    except (NotRunning, Refused):
        return


def _runtime() -> Path:
    return Path(os.environ.get("WEAVE_RUNTIME_DIR") or "/var/run/weave")


def _password(verb: str, words: list[str]) -> tuple[str, list[str]]:
    """Return the password, empty for none, and the words without it; begins anew where others could read it."""
    from adapters import password

    try:
        if words[:1] == [password.FD_OPTION]:
            password.protect_process()
            return password.from_pipe(int(words[1])), words[2:]
        found, words = password.split(words, os.environ)
        if found:
            password.begin_anew(verb, words, found)
        return "", words
    except (password.PasswordError, OSError) as error:
        raise Failure(f"weave {verb}: {error}") from error


def _settings(words: list[str], *, has_password: bool = False) -> Any:  # Settings: imported only when needed
    from adapters.settings import SettingsError, parse

    try:
        return parse(words, os.environ, has_password=has_password)
    except SettingsError as error:
        raise Failure(f"weave launch: {error}; see 'weave launch --help'") from error


def _show_options() -> int:
    from adapters.settings import help_text

    print(help_text(), end="")
    return 0


def _addresses(words: list[str]) -> tuple[list[str], list[str]]:
    """Split words into leading addresses and the rest."""
    count = 0
    while count < len(words) and ADDRESS.fullmatch(words[count]):
        count += 1
    return words[:count], words[count:]


def _container(word: str, *, must_exist: bool = True) -> tuple[str, str]:
    """Return identity and namespace path of a container. Raises: Failure when there is none."""
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
    return name, path


def _docker_container(word: str, *, must_exist: bool) -> tuple[str, str]:
    from adapters.control.client import NotRunning, Refused, ask

    sock = os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/var/run/docker.sock"
    import json

    try:
        found = json.loads(ask(Path(sock), "GET", f"/containers/{_quoted(word)}/json"))
    except (NotRunning, Refused, ValueError) as error:
        if not must_exist:
            return word, ""
        text = f"Error: No such container: {word}: it is no namespace in /run/netns"
        raise Failure(f"{text}, no process id, and no Docker container ({error})") from error
    pid = found["State"]["Pid"]
    if not pid and must_exist:
        raise Failure(f"Container {word} is not running; start it first")
    if pid and os.path.samefile(f"/proc/{pid}/ns/net", "/proc/self/ns/net"):
        return _container(f"/proc/{pid}/ns/net")
    return str(found["Id"]), f"/proc/{pid}/ns/net"


def _bare(cidrs: str) -> str:
    """Return addresses without their prefix lengths."""
    return " ".join(cidr.partition("/")[0] for cidr in cidrs.split())


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _no_words(words: list[str]) -> None:
    if words:
        raise Misuse


def _usage(text: str, status: int) -> int:
    print(f"{text}\n{USAGE}" if text else USAGE, file=sys.stderr, end="")
    return status


_VERBS = {
    "launch": _launch,
    "agent": _agent,
    "stop": _stop,
    "reset": _reset,
    "prime": _prime,
    "version": _version,
    "status": _status,
    "report": _report,
    "ps": _ps,
    "at": _at,
    "why": _why,
    "attach": _attach,
    "detach": _detach,
    "connect": _connect,
    "forget": _forget,
    "rmpeer": _rmpeer,
    "lab": _lab,
    "sim": _sim,
}


if __name__ == "__main__":
    sys.exit(main())
