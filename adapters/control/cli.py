"""The command `weave`: reads its words, talks to the agent, prints. Imports only what the verb at hand needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from adapters.control.words import (
    Failure,
    Misuse,
    ask_or_fail,
    ask_raw,
    ask_raw_or_fail,
    bare,
    container_of,
    leading_addresses,
    no_words,
    quoted,
    runtime_directory,
    try_to_ask,
)

USAGE = """Usage:

weave --help | help
      version

weave launch        [options] [<peer> ...]
      agent         [options] [<peer> ...]   (in the foreground)
      stop
      reset         [--force]
      prime

weave status        [targets | connections | peers | dns | ipam]
      report        [-f <format>]
      ps            [<container> ...]
      why           [--json] <address> | <name> | <peer> | <container>
      at            <time> status [targets | connections | peers | dns | ipam]
      at            <time> report [-f <format>] | ps [<container> ...] | why <...>

weave attach        [<addr> ...] [--no-multicast-route] [--without-dns] <container>
      detach        [<addr> ...] <container>

weave dns-add       [<ip> ...] <container> [-h <name>] | <ip> ... -h <name>
                    [--ttl <seconds>] [--port _<service>._<protocol>=<port>] [--txt <text>]
      dns-remove    [<ip> ...] <container> [-h <name>] | <ip> ... [-h <name>]
      dns-lookup    <name>
      dns-args

weave ipam gc       [--dry-run] [<ident> ...]

weave env           [--restore]
      config

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
REMOVED = (
    *("run", "start", "restart", "launch-plugin", "stop-plugin"),
    *("launch-proxy", "stop-proxy", "launch-router", "stop-router"),
)
DEVICE = "ethwe"
ATTACH_FLAGS = ("--no-multicast-route", "--without-dns")
EXIT_RUNNING = 3


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

    no_words(words)
    runtime = runtime_directory()
    pid = daemon.running_pid(runtime)
    if pid is None:
        print("Weave is not running.", file=sys.stderr)
        return 0
    try_to_ask("POST", "/stop")
    daemon.end(pid)
    daemon.remove_pid(runtime)
    return 0


def _reset(words: list[str]) -> int:
    from adapters.control import daemon

    if words not in ([], ["--force"]):
        raise Misuse
    if os.geteuid() != 0:
        raise Failure("weave must be run as 'root' when run locally")
    runtime = runtime_directory()
    # Port and bridge may be others than usual.
    settings = _settings(daemon.last_options(runtime))
    pid = daemon.running_pid(runtime)
    has_journal = any(settings.data.glob("journal.db"))
    if pid is None and has_journal and not words:
        text = "ERROR: weave is not running; unable to remove from cluster.\n"
        raise Failure(text + "Re-launch weave before reset or use --force to override.")
    if pid is not None:
        if not words:
            ask_or_fail("DELETE", "/peer")
        try_to_ask("POST", "/stop")
        daemon.end(pid)
    from adapters import agent
    from adapters.journal_file import JournalError

    try:
        agent.reset(settings)
    except JournalError as error:
        raise Failure(str(error)) from error
    return 0


def _prime(words: list[str]) -> int:
    no_words(words)
    ask_or_fail("GET", "/ring")
    return 0


# Looking.


def _version(words: list[str]) -> int:
    no_words(words)
    from adapters.control.client import NotRunning
    from core.config import Config

    print(f"weave script {Config.__dataclass_fields__['version'].default}")
    try:
        print(f"weave {ask_raw('GET', '/report?format=%7B%7B.Version%7D%7D')}")
    except NotRunning:
        print(f"weave {Config.__dataclass_fields__['version'].default}")
    return 0


def _status(words: list[str]) -> int:
    if len(words) > 1:
        raise Misuse
    from adapters.control.client import NotThere

    if not words:
        print(f"\n{ask_or_fail('GET', '/status')}")
        return 0
    try:
        print(ask_raw_or_fail("GET", f"/status/{quoted(words[0])}"), end="")
    except NotThere as error:
        raise Misuse(f"Invalid 'weave status' sub-command: {words[0]}") from error
    return 0


def _report(words: list[str]) -> int:
    if not words:
        print(ask_or_fail("GET", "/report"), end="")
        return 0
    if len(words) != 2 or words[0] != "-f":
        raise Misuse
    print(ask_or_fail("GET", f"/report?format={quoted(words[1])}"), end="")
    return 0


def _ps(words: list[str]) -> int:
    from adapters.control.ps import ps_lines

    print("".join(f"{line}\n" for line in ps_lines(ask_or_fail("GET", "/ps"), words)), end="")
    return 0


def _at(words: list[str]) -> int:
    return _look_back("at", words)


def _why(words: list[str]) -> int:
    return _look_back("why", words)


def _look_back(verb: str, words: list[str]) -> int:
    from adapters.control import daemon, past_verbs

    try:
        answer = past_verbs.VERBS[verb](words, ask_raw, lambda: _settings(daemon.last_options(runtime_directory())))
    except past_verbs.BadWords as error:
        raise Misuse from error
    except past_verbs.NoAnswer as error:
        raise Failure(str(error)) from error
    print(answer, end="")
    return 0


# Changing.


def _attach(words: list[str]) -> int:
    addresses, rest = leading_addresses(words)
    flags = [word for word in rest if word in ATTACH_FLAGS]
    rest = [word for word in rest if word not in ATTACH_FLAGS]
    if len(rest) != 1:
        raise Misuse
    container = container_of(rest[0])
    multicast = str("--no-multicast-route" not in flags).lower()
    form = [("container", container.name), ("ifname", DEVICE), ("netns", container.netns), ("multicast", multicast)]
    if container.fqdn and "--without-dns" not in flags:
        form.append(("name", container.fqdn))
    print(bare(ask_or_fail("POST", "/attach", [*form, *(("address", address) for address in addresses)])))
    return 0


def _detach(words: list[str]) -> int:
    addresses, rest = leading_addresses(words)
    if len(rest) != 1:
        raise Misuse
    container = container_of(rest[0], must_exist=False)
    form = [("container", container.name), ("ifname", DEVICE), *(("address", address) for address in addresses)]
    print(bare(ask_or_fail("POST", "/detach", form)))
    return 0


def _name(verb: str) -> Callable[[list[str]], int]:
    def run(words: list[str]) -> int:
        from adapters.control import name_verbs

        print(name_verbs.VERBS[verb](words), end="")
        return 0

    return run


def _ipam(words: list[str]) -> int:
    from adapters.control import ipam_verbs

    if words[:1] != ["gc"]:
        raise Misuse
    print(ipam_verbs.gc(words[1:]), end="")
    return 0


def _env(words: list[str]) -> int:
    from adapters.docker import shell

    if words not in ([], ["--restore"]):
        raise Misuse
    return shell.env(runtime_directory() / "control.sock", is_undoing=bool(words))


def _config(words: list[str]) -> int:
    from adapters.docker import shell

    no_words(words)
    return shell.config(runtime_directory() / "control.sock")


def _connect(words: list[str]) -> int:
    replace = words[:1] == ["--replace"]
    peers = words[1:] if replace else words
    if not words or any(peer.startswith("-") for peer in peers):
        raise Misuse
    form = [("peer", peer) for peer in peers]
    ask_or_fail("POST", "/connect", [*form, ("replace", "true")] if replace else form)
    return 0


def _forget(words: list[str]) -> int:
    if not words:
        raise Misuse
    ask_or_fail("POST", "/forget", [("peer", peer) for peer in words])
    return 0


def _rmpeer(words: list[str]) -> int:
    force = "--force" in words
    names = [word for word in words if word != "--force"]
    if not names:
        raise Misuse
    also = "".join(f"&also={quoted(name)}" for name in names[1:])
    if sys.stderr.isatty():
        print("asking all peers that may own addresses from there ...", file=sys.stderr)
    print(ask_or_fail("DELETE", f"/peer/{quoted(names[0])}?force={str(force).lower()}{also}").rstrip("\n"))
    return 0


def _lab(words: list[str]) -> int:
    from adapters.control import lab

    return lab.main(words)


def _sim(words: list[str]) -> int:
    from sim import cli

    return cli.main(words)


# Helpers.


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
    "dns-add": _name("dns-add"),
    "dns-remove": _name("dns-remove"),
    "dns-lookup": _name("dns-lookup"),
    "dns-args": _name("dns-args"),
    "ipam": _ipam,
    "env": _env,
    "config": _config,
    "connect": _connect,
    "forget": _forget,
    "rmpeer": _rmpeer,
    "lab": _lab,
    "sim": _sim,
}


if __name__ == "__main__":
    sys.exit(main())
