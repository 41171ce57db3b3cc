"""The house keeps the import law, the bans of its pure floors, and the size limit; and each check can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from house_rules import LINES_MAX, PACKAGES, PURE, problems_of

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.relative_to(ROOT).as_posix() for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py")
)


def test_every_floor_is_there() -> None:
    for package in PACKAGES:
        assert f"{package}/__init__.py" in FILES


def test_the_house_keeps_its_rules() -> None:
    problems = [problem for path in FILES for problem in problems_of(path, (ROOT / path).read_text("utf-8"))]
    assert problems == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("crdt/x.py", "import core.types"),
        ("crdt/x.py", "import msgpack"),
        ("core/x.py", "import sortedcontainers"),
        ("core/x.py", "from datapath import links"),
        ("core/x.py", "from sim.kernel import FakeKernel"),
        ("core/x.py", "from .types import Cidr"),
        ("core/x.py", "from __future__ import annotations\nif TYPE_CHECKING:\n    import aiohttp"),
        ("datapath/x.py", "from adapters import agent"),
        ("datapath/x.py", "from crdt.store import Store"),
        ("datapath/x.py", "import aiohttp"),
        ("adapters/x.py", "import datapath.links"),
        ("adapters/mesh/agent.py", "import datapath.links"),
        ("adapters/x.py", "import pyroute2"),
        ("adapters/x.py", "def f():\n    import sim.world"),
        ("adapters/control/cli.py", "import sim.world"),
        ("sim/x.py", "from adapters.loop import Loop"),
        ("sim/x.py", "import datapath"),
        ("sim/x.py", "def f():\n    import distributed"),
        ("sim/campaign/shards.py", "import distributed"),
        ("core/x.py", "def f():\n    import distributed"),
        ("bench/x.py", "from tests import helpers"),
        ("adapters/x.py", "import requests"),
    ],
)
def test_an_import_across_the_table_is_found(path: str, source: str) -> None:
    assert problems_of(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("crdt/x.py", "import heapq\nfrom sortedcontainers import SortedDict\nfrom crdt.fact import Fact"),
        ("core/x.py", "import msgpack\nfrom crdt.fact import Fact\nfrom core.types import Cidr"),
        ("datapath/x.py", "import os\nfrom pyroute2 import IPRoute\nfrom core.types import Cidr"),
        ("adapters/agent.py", "import asyncio\nfrom datapath.driver import Driver"),
        (
            "adapters/control/cli.py",
            "import argparse\ndef f():\n    import sim.command\n    import adapters.control.lab",
        ),
        ("adapters/control/lab.py", "import subprocess\nfrom adapters.control.lab_file import Lab"),
        ("sim/x.py", "import random\nfrom core.types import Cidr\nrandom.Random(1).random()"),
        ("sim/campaign/shards.py", "def f():\n    from distributed import Client"),
        ("tests/x.py", "import hypothesis, sim, datapath, adapters"),
        ("bench/x.py", "import adapters.control.lab, sim.world, time"),
    ],
)
def test_an_import_within_the_table_passes(path: str, source: str) -> None:
    assert problems_of(path, source) == []


@pytest.mark.parametrize("package", PURE)
@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from datetime import datetime",
        "import os",
        "from os import urandom",
        "import socket",
        "import asyncio",
        "import threading",
        "import logging",
        "import uuid",
        "import secrets",
        "import subprocess",
        "def f():\n    import time",
        "import random\nrandom.random()",
        "import random\nx = random.choice",
        "import random\nrandom.Random()",
        "import random as r",
        "from random import Random",
        "hash('a')",
        "open('a')",
        "sorted(items, key=lambda item: id(item))",
    ],
)
def test_what_reaches_outside_is_found_on_the_pure_floors(package: str, source: str) -> None:
    assert problems_of(f"{package}/x.py", source)
    assert "banned" not in " ".join(problems_of("adapters/x.py", source)), "only the pure floors are pure"


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: pass",
        "for x in set(a): pass",
        "for x in frozenset(a): pass",
        "[x for x in {y for y in a}]",
        "{x: 1 for x in set(a)}",
        "for x in set(a) - set(b): pass",
        "for x in a.keys() & b.keys(): pass",
        "for x in a.union(b): pass",
        "list({1, 2})",
        "tuple(set(a))",
        "', '.join({a, b})",
        "next(iter(set(a)))",
        "for i, x in enumerate(set(a)): pass",
        "f(*{1, 2})",
        "x = set(a)\nfor y in x: pass",
        "def f(x: set[int]):\n    return [y for y in x]",
        "x: frozenset[int] = g()\nlist(x)",
        "x = {1}\nx.pop()",
        "class A:\n  def __init__(self):\n    self.x: set[int] = set()\n  def f(self):\n    for y in self.x: pass",
        "for x in (set(a) if a else b): pass",
        "any(y for y in a for y in b if list({1}))",
    ],
)
def test_a_set_whose_order_shows_is_found(source: str) -> None:
    assert problems_of("core/x.py", source)


@pytest.mark.parametrize(
    "source",
    [
        "for x in sorted({1, 2}): pass",
        "x = {1}\nlen(x), 3 in x, max(x), any(y > 1 for y in x)",
        "for x in [1, 2]: pass",
        "def f():\n    x = set()\ndef g(x: list[int]):\n    for y in x: pass",
        "for x in range(5 - 3): pass",
        "import random\ndef f(entropy: random.Random): return entropy.random()",
        "x = frozenset({1})\ny = x | {2}",
    ],
)
def test_what_shows_no_order_passes(source: str) -> None:
    assert problems_of("core/x.py", source) == []


def test_an_entry_point_imports_only_the_standard_library_at_module_level() -> None:
    path = "adapters/control/cli.py"
    assert problems_of(path, "import argparse, json, socket") == []
    assert problems_of(path, "def main():\n    import aiohttp") == []
    for source in ("import aiohttp", "from adapters.control import client", "try:\n    import msgpack\nfinally: pass"):
        assert problems_of(path, source)


def test_a_file_beyond_the_size_limit_is_found() -> None:
    assert problems_of("core/x.py", "x = 1\n" * LINES_MAX) == []
    assert problems_of("core/x.py", "x = 1\n" * (LINES_MAX + 1))
    assert problems_of("tests/x.py", "x = 1\n" * (LINES_MAX + 1))


def test_a_problem_names_file_and_line() -> None:
    assert problems_of("core/x.py", "\nimport time") == ["core/x.py:2: time is banned here: it reaches outside"]
