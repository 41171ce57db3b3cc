"""`weave lab`: a network of hosts on one machine, for users, teachers and tests.

This file is the command line only; `lab_file` reads the file, `lab_hosts` runs the lab, `lab_kernel` asks the kernel.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.control import lab_kernel as kernel
from adapters.control.lab_file import LabError, load, parse
from adapters.control.lab_hosts import (
    COPY_NAME,
    Lab,
    command,
    environment,
    find_host,
    link_names,
    remove,
    require_root,
    set_link,
)

EXIT_ERROR = 1
# As shells answer when a command is not there.
EXIT_NOT_FOUND = 127


def main(argv: Sequence[str]) -> int:
    """Run `weave lab` with these arguments; return the exit status."""
    words = list(argv)
    after: list[str] = []
    if "--" in words:
        cut = words.index("--")
        words, after = words[:cut], words[cut + 1 :]
    parser = _parser()
    try:
        asked = parser.parse_args(words)
    except SystemExit as end:
        return EXIT_ERROR if end.code else 0
    asked.command = after
    try:
        return _VERBS[asked.verb](asked)
    except LabError as error:
        print(f"weave lab: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("weave lab: interrupted", file=sys.stderr)
        return EXIT_ERROR


def _up(asked: argparse.Namespace) -> int:
    path = Path(asked.file)
    file = load(path)
    Lab(file, text=path.read_text(encoding="utf-8")).up()
    return 0


def _down(asked: argparse.Namespace) -> int:
    remove(_lab_of(asked.lab))
    return 0


def _lab_of(word: str | None) -> str:
    """Take a lab's name or file; nothing means the only lab there is."""
    if word is None:
        return _only_lab(None)
    return load(Path(word)).name if word.endswith(".toml") or "/" in word else word


def _exec(asked: argparse.Namespace) -> int:
    require_root()
    namespace = find_host(_only_lab(asked.lab), asked.host)
    words = command(namespace, tuple(asked.command) or (os.environ.get("SHELL", "/bin/sh"),))
    try:
        os.execvpe(words[0], words, environment(namespace))
    except FileNotFoundError:
        print("weave lab: nsenter is not installed; on Debian: apt-get install util-linux", file=sys.stderr)
        return EXIT_NOT_FOUND


def _launch(asked: argparse.Namespace) -> int:
    require_root()
    name = _only_lab(asked.lab)
    find_host(name, asked.host)
    copy = kernel.directory(name) / COPY_NAME
    try:
        file = parse(copy.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"cannot read {copy}: {error}; run 'weave lab down {name}', then up again") from error
    Lab(file).launch(asked.host)
    return 0


def _cut(asked: argparse.Namespace) -> int:
    set_link(_only_lab(asked.lab), asked.a, asked.b, up=False)
    print(f"link {asked.a} – {asked.b} is cut")
    return 0


def _heal(asked: argparse.Namespace) -> int:
    set_link(_only_lab(asked.lab), asked.a, asked.b, up=True)
    print(f"link {asked.a} – {asked.b} is whole")
    return 0


def _status(asked: argparse.Namespace) -> int:
    require_root()
    found = kernel.namespaces()
    if not found:
        print("no lab is up; start one with 'weave lab up FILE'")
    for namespace in found:
        if namespace.container is None:
            state = "agent running" if kernel.processes([namespace]) else "no process"
            print(f"lab {namespace.lab}  host {namespace.host}  {state}")
            for towards, is_up in link_names(namespace).items():
                print(f"    link to {towards}  {'up' if is_up else 'CUT'}")
        else:
            print(f"    container {namespace.host}.{namespace.container}")
    return 0


def _only_lab(name: str | None) -> str:
    running = sorted({found.lab for found in kernel.namespaces()})
    if name is not None:
        if name not in running:
            raise LabError(f"no lab {name} is up; running: {', '.join(running) or 'none'}")
        return name
    if len(running) == 1:
        return running[0]
    if not running:
        raise LabError("no lab is up; start one with 'weave lab up FILE'")
    raise LabError(f"several labs are up ({', '.join(running)}); name one: --lab NAME (or, for down, just NAME)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="weave lab", description="A network of hosts on one machine: namespaces, cables, and an agent on each."
    )
    parser.add_argument("--lab", metavar="NAME", default=os.environ.get("WEAVE_LAB"), help="which lab, if several run")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    up = verbs.add_parser("up", help="make and start everything that FILE names")
    up.add_argument("file", metavar="FILE")
    down = verbs.add_parser("down", help="remove a lab, also after a crash")
    down.add_argument("lab", metavar="NAME|FILE", nargs="?")
    run = verbs.add_parser("exec", help="run a command on a host: exec HOST -- CMD …; without CMD, a shell")
    run.add_argument("host", metavar="HOST[.CONTAINER]")
    launch = verbs.add_parser("launch", help="start a host's agent again, as its file says")
    launch.add_argument("host", metavar="HOST")
    for verb, text in (("cut", "pull the cable between two hosts"), ("heal", "plug it in again")):
        cable = verbs.add_parser(verb, help=text)
        cable.add_argument("a", metavar="A")
        cable.add_argument("b", metavar="B")
    verbs.add_parser("status", help="list hosts, links and containers")
    return parser


_VERBS = {
    "up": _up,
    "down": _down,
    "exec": _exec,
    "launch": _launch,
    "cut": _cut,
    "heal": _heal,
    "status": _status,
}
