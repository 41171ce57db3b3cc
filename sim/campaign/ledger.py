"""The file of a campaign: results as JSON lines, in the order in which they came.

A campaign that was killed may leave half a line at the end; whoever takes it up again cuts that off and runs the seed
anew. Anything else that is no result is an error, named with file and line: it is somebody's file, not ours to repair.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sim.campaign.code import code_id
from sim.campaign.result import Result, ResultError, line_of, result_of


class LedgerError(Exception):
    """A file that cannot be used; says which, why, and what to do."""


class Ledger:
    """Results on disk, open for more; to be closed."""

    def __init__(self, path: Path, *, profile: str, is_resumed: bool) -> None:
        """Open a file: a new one, or one to go on with. Raises: LedgerError."""
        self.path = path
        self.profile = profile
        self.done: dict[int, Result] = {}
        """What was there already, by seed."""
        try:
            if is_resumed and path.exists():
                self._read()
            self._file = path.open("ab" if is_resumed else "xb", buffering=0)
        except FileExistsError as error:
            text = f"{path} is there already: go on with it (--resume), or choose another file"
            raise LedgerError(text) from error
        except OSError as error:
            raise LedgerError(f"cannot write {path}: {error.strerror}") from error

    def close(self) -> None:
        """End it."""
        self._file.close()

    def add(self, result: Result) -> None:
        """Append a result; from then on it survives the end of this process. Raises: LedgerError."""
        try:
            self._file.write((line_of(result) + "\n").encode())
        except OSError as error:
            raise LedgerError(f"cannot write {self.path}: {error.strerror}") from error

    def _read(self) -> None:
        data = self.path.read_bytes()
        whole = data.rpartition(b"\n")[0]
        kept = len(whole) + 1 if whole else 0
        for number, result in self._results(whole):
            for name, then, now in (("profile", result.profile, self.profile), ("code", result.code, code_id())):
                if then != now:
                    text = f"{then!r}, now it is {now!r}: results of both do not belong together, begin a new file"
                    raise LedgerError(f"{self.path}, line {number}: field '{name}': {text}")
            self.done[result.seed] = result
        if kept < len(data):
            os.truncate(self.path, kept)

    def _results(self, data: bytes) -> Iterator[tuple[int, Result]]:
        for number, line in enumerate(data.split(b"\n") if data else (), start=1):
            try:
                yield number, result_of(line.decode())
            except (ResultError, UnicodeDecodeError) as error:
                text = f"{self.path}, line {number}: {error}: made by another version or damaged; begin a new file"
                raise LedgerError(text) from error
