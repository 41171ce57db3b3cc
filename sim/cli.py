"""`weave sim`: the simulator from the command line. Reads words, asks others to do it, prints.

Whatever is wrong with words or files is said in one line, and the exit status is 1, as it is when something failed
that was tried. Ctrl-C ends with what was done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from core.marks import MARKS
from core.records import PREFIX as RECORDING
from sim.books import Violation
from sim.campaign.ledger import Ledger, LedgerError
from sim.campaign.progress import Progress
from sim.campaign.result import headline
from sim.campaign.shards import Cluster
from sim.campaign.workers import EngineError
from sim.explore import Engine, explore
from sim.picture.sheet import TooManyHosts
from sim.recording import replay_recording
from sim.run import Report, Run, play
from sim.scenario import Scenario, ScenarioError, dump, load
from sim.seeds import PROFILES, run_seed
from sim.shrink import RUNS_MAX, NothingFails, Shrunk, shrink
from sim.summary import summary
from sim.timeline import show

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
UNWRITABLE = "backslashreplace"
"""How half a character is written: as JSON has it."""
TAIL_SHOWN = 20
"""Lines of the trace before a violation."""
SEED_MAX = 1 << 63


class Failure(Exception):
    """What the user is told before the command ends with status 1."""


def main(words: Sequence[str]) -> int:
    """Run `weave sim` with these words; return the exit status."""
    try:
        asked = _parser().parse_args(words)
    except SystemExit as end:
        return 1 if end.code else 0
    try:
        status: int = asked.action(asked)
    except (Failure, LedgerError, EngineError) as error:
        print(f"weave sim: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("weave sim: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def help_text() -> str:
    """Return the options of all verbs, for the reference."""
    parser = _parser()
    verbs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return "\n".join(choice.format_help() for verb in verbs for choice in verb.choices.values())


# Verbs.


def _explore(asked: argparse.Namespace) -> int:
    if asked.resume and asked.out is None:
        raise Failure("--resume needs --out FILE: the file to go on with")
    seeds, out = asked.seeds, asked.out
    progress = Progress(len(seeds), sys.stderr, time.monotonic)
    engine = _engine(asked)
    ledger = None if out is None else Ledger(out, profile=asked.profile, is_resumed=asked.resume)
    try:
        campaign = explore(
            seeds,
            jobs=asked.jobs,
            profile=asked.profile,
            engine=engine,
            ledger=ledger,
            folder=Path() if out is None else out.parent,
            watcher=progress,
        )
    except OSError as error:
        raise Failure(f"cannot write {error.filename or 'a file'}: {error.strerror}") from error
    finally:
        if ledger is not None:
            ledger.close()
    print(campaign)
    if campaign.is_interrupted or campaign.lost:
        how = "add --resume to the same command" if out is not None else "with --out FILE and --resume it can"
        print(f"{campaign.total - campaign.tally.seeds} seeds are left; to go on from here, {how}", file=sys.stderr)
    if campaign.is_interrupted:
        return INTERRUPTED
    return 0 if campaign.is_clean else 1


def _shrink(asked: argparse.Namespace) -> int:
    word = asked.scenario
    found = _seed_or_file(word)
    scenario = run_seed(found, profile=asked.profile).scenario if isinstance(found, int) else found
    out = asked.out or Path(word).with_name(f"{Path(word).stem}-small.json")
    fails = _violation if asked.mark is None else partial(_passed, asked.mark)
    try:
        small = shrink(scenario, fails, runs_max=asked.max_runs, watch=_Shrinking(sys.stderr.isatty()))
    except NothingFails as error:
        what = str(error) if asked.mark is None else f"it does not pass {asked.mark}"
        raise Failure(f"{word}: {what}; nothing to shrink") from error
    title = f"{headline(small.violation)} (seed {scenario.seed})"
    if scenario.title and not scenario.title.startswith("Seed "):
        title = scenario.title
    _write(out, replace(small.scenario, title=title))
    steps, hosts = len(small.scenario.steps), len(small.scenario.hosts)
    print(f"{small.runs} runs: {len(scenario.steps)} steps on {len(scenario.hosts)} hosts are now {steps} on {hosts}")
    if not small.is_smallest:
        print("there may be smaller ones: shrink the result again")
    print(headline(small.violation))
    print(f"    weave sim replay {out}\n    weave sim timeline {out} --html {out.with_suffix('.html')}")
    return 0


def _replay(asked: argparse.Namespace) -> int:
    path = asked.file
    until_ms = None if asked.until is None else round(asked.until * 1000)
    if _read(path).startswith(RECORDING):
        return replay_recording(path, until_ms, sys.stdout)
    scenario = _load(path)
    if until_ms is not None and until_ms > scenario.until_ms:
        text = f"trouble ends at {scenario.until_ms / 1000} s; leave out --until to see what comes of it"
        raise Failure(f"{path}: {text}")
    run = Run(scenario)
    if asked.trace:
        run.world.trace.listener = _say
    if until_ms is None:
        return _told(scenario, run.play(), is_traced=asked.trace)
    try:
        run.until(until_ms)
    except Violation as violation:
        print(f"VIOLATED at {run.world.now_us / 1000:.3f} ms: {violation}")
        return 1
    print(f"at {until_ms / 1000} s, proof so far {run.world.trace.value}")
    for line in summary(run.world):
        _say(line)
    return 0


def _timeline(asked: argparse.Namespace) -> int:
    word = asked.scenario
    try:
        scenario = _seed_or_file(word)
        picture = show(scenario, profile=asked.profile, from_s=asked.begin, until_s=asked.until)
        for path, made in ((asked.html, "html"), (asked.svg, "svg")):
            if path is not None:
                path.write_text(getattr(picture, made), encoding="utf-8")
    except TooManyHosts as error:
        raise Failure(f"{word}: {error}") from error
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}") from error
    if asked.html is None and asked.svg is None:
        _say(picture.text.rstrip("\n"))
    return 0


def _record(asked: argparse.Namespace) -> int:
    report = run_seed(asked.seed, profile=asked.profile)
    title = f"Seed {asked.seed}: {headline(report.violation) or 'all is well'}"
    try:
        with asked.file.open("x", encoding="utf-8", errors=UNWRITABLE) as file:
            file.write(dump(replace(report.scenario, title=title)))
    except FileExistsError as error:
        raise Failure(f"{asked.file} is there already: remove it, or choose another name") from error
    except OSError as error:
        raise Failure(f"cannot write {asked.file}: {error.strerror}") from error
    print(f"{asked.file}: {len(report.scenario.steps)} steps, {title}")
    return 0


# Helpers.


def _told(scenario: Scenario, report: Report, *, is_traced: bool) -> int:
    """Print what came of a run; return the exit status."""
    if report.violation and not is_traced:
        _say("\n".join(report.tail[-TAIL_SHOWN:]))
    if scenario.title:
        _say(scenario.title)
    idle = len(scenario.steps) - len(report.scenario.steps)
    if idle:
        print(f"{idle} of {len(scenario.steps)} steps made no sense when their time came")
    _say(str(report))
    return 1 if report.violation else 0


def _violation(scenario: Scenario) -> str:
    return play(scenario).violation


def _passed(mark: str, scenario: Scenario) -> str:
    return f"mark: {mark} is passed" if play(scenario).marks.get(mark) else ""


class _Shrinking:
    """Tells how far shrinking is."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._told: tuple[int, int] = (0, 0)

    def __call__(self, small: Shrunk) -> None:
        counts = len(small.scenario.steps), len(small.scenario.hosts)
        line = f"{small.runs} runs: {counts[0]} steps, {counts[1]} hosts, {small.scenario.until_ms / 1000} s of trouble"
        if self._is_terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif counts != self._told:
            print(line, file=sys.stderr, flush=True)
        self._told = counts


def _engine(asked: argparse.Namespace) -> Engine | None:
    """Return where seeds shall run; None for processes of this machine."""
    if asked.engine == "local":
        if asked.scheduler is not None:
            raise Failure("--scheduler is for --engine dask: say that, too, or leave it out")
        return None
    if asked.scheduler is None:
        raise Failure("--engine dask needs --scheduler ADDRESS, like tcp://10.1.2.3:8786")
    if asked.jobs is not None:
        raise Failure("--jobs is for this machine: how many run in a cluster is up to its workers")
    return Cluster(asked.scheduler, asked.profile)


def _seed_or_file(word: str) -> int | Scenario:
    """Take a word for a file if there is one, else for a seed if it is a number."""
    path = Path(word)
    if word.isdigit() and not path.exists():
        try:
            return _seed(word)
        except argparse.ArgumentTypeError as error:
            raise Failure(str(error)) from error
    return _load(path)


def _say(text: str) -> None:
    """Print a text that may hold what cannot be printed, such as half a character in a name."""
    print(text.encode(errors="replace").decode())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from error


def _load(path: Path) -> Scenario:
    data = _read(path)
    if data.startswith(RECORDING):
        raise Failure(f"{path} is a recording of one agent: 'weave sim replay' plays it")
    try:
        return load(data.decode())
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is neither a scenario nor a recording: not text at byte {error.start}") from error
    except ScenarioError as error:
        raise Failure(f"{path}: {error}") from error


def _write(path: Path, scenario: Scenario) -> None:
    try:
        path.write_text(dump(scenario), encoding="utf-8", errors=UNWRITABLE)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error


# Words.


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="weave sim", description="A whole cluster in virtual time, from one seed.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, action: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        found = verbs.add_parser(name, help=text, description=text)
        found.set_defaults(action=action)
        return found

    one = verb("explore", _explore, "Run many seeds; write the scenario of each that fails.")
    one.add_argument("--seeds", type=_seeds, required=True, metavar="A:B", help="from A up to, not including, B")
    one.add_argument("--jobs", type=_count, metavar="N", help="processes (as many as processors)")
    one.add_argument("--out", type=Path, metavar="FILE", help="write a JSON line per seed")
    one.add_argument("--resume", action="store_true", help="go on with FILE: skip the seeds that are in it")
    text = "where: processes of this machine, or a Dask cluster (local)"
    one.add_argument("--engine", choices=("local", "dask"), default="local", metavar="NAME", help=text)
    one.add_argument("--scheduler", metavar="ADDRESS", help="of the cluster's scheduler, like tcp://10.1.2.3:8786")
    _add_profile(one)
    one = verb("shrink", _shrink, "Make a failing scenario as small as possible.")
    one.add_argument("scenario", metavar="FILE|SEED", help="a scenario, or the seed of one")
    one.add_argument("-o", "--out", type=Path, metavar="OUT", help="where to write it (FILE with -small)")
    text = "keep that this mark is passed, instead of a violation: the shortest way to a rare place"
    one.add_argument("--mark", choices=sorted(MARKS), metavar="NAME", help=text)
    one.add_argument("--max-runs", type=_count, default=RUNS_MAX, metavar="N", help=f"runs at most ({RUNS_MAX})")
    _add_profile(one)
    one = verb("replay", _replay, "Play a scenario, or what `weave launch --record` wrote, and say what came of it.")
    one.add_argument("file", type=Path, metavar="FILE", help="a scenario or a recording")
    one.add_argument("--until", type=_seconds, metavar="SECONDS", help="stop there, and show how every host stands")
    one.add_argument("--trace", action="store_true", help="print every event and what followed")
    one = verb("timeline", _timeline, "Tell what happened in a run, as text or as a picture.")
    one.add_argument("scenario", metavar="FILE|SEED", help="a scenario, or the seed of one")
    one.add_argument("--html", type=Path, metavar="OUT", help="write a page that needs no other file")
    one.add_argument("--svg", type=Path, metavar="OUT", help="write the drawing alone")
    text = "only what happens from then on"
    one.add_argument("--from", dest="begin", type=_seconds, default=0.0, metavar="SECONDS", help=text)
    one.add_argument("--until", type=_seconds, metavar="SECONDS", help="only what happens before")
    _add_profile(one)
    one = verb("record", _record, "Write what a seed stands for as a scenario.")
    one.add_argument("file", type=Path, metavar="FILE", help="a new file")
    one.add_argument("seed", type=_seed, metavar="SEED", help="a number")
    _add_profile(one)
    return parser


def _add_profile(parser: argparse.ArgumentParser) -> None:
    text = f"what the swarm looks at: {', '.join(PROFILES)} ({PROFILES[0]})"
    parser.add_argument("--profile", choices=PROFILES, default=PROFILES[0], metavar="NAME", help=text)


def _seeds(text: str) -> range:
    first, colon, last = text.partition(":")
    begin = _seed(first)
    end = _seed(last) if colon else begin + 1
    if begin >= end:
        raise argparse.ArgumentTypeError(f"no seed is in {text!r}: expected A:B with A less than B, like 0:300")
    return range(begin, end)


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= SEED_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: expected a number from 0 on")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, found {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds like 12.5, found {text!r}")
    return seconds
