"""A bug planted into the running code, for tests that look at what comes of one; `bench/mutants` lists many more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from core.commits import Commit, Commits


@contextmanager
def publish_before_durable() -> Iterator[None]:
    """Let neighbours hear of a fact when it is written, not when it is on disk, while the `with` block lasts."""
    persist = Commits._persist

    def hasty(self: Commits, commit: Commit) -> None:
        persist(self, commit)
        if commit.own is not None:
            self._context.store.join(commit.own)

    with patch.object(Commits, "_persist", hasty):
        yield
