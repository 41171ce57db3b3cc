"""Processes of ours take their modules from where they are installed, whatever lies where they are started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.control.daemon import LaunchError, launch
from datapath.sleeve.process import Sleeve

ROOT = Path(__file__).parents[4]
NO_DEVICE = "longer-than-any-interface-name"


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand where somebody has put modules with our names; return the file that shows that one was imported."""
    found = tmp_path / "imported"
    for name in ("adapters", "core", "crdt", "datapath"):
        (tmp_path / f"{name}.py").write_text(f"open({str(found)!r}, 'w').close()\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return found


def test_an_agent_is_our_own(tmp_path: Path, marker: Path) -> None:
    with pytest.raises(LaunchError, match="no-such-option"):
        launch(tmp_path / "run", ["--no-such-option"])
    assert not marker.exists()


def test_a_sleeve_is_our_own(marker: Path) -> None:
    sleeve = Sleeve()
    sleeve.start(NO_DEVICE, 0, "127.0.0.1")
    pid = sleeve.pid
    assert pid is not None
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    sleeve.close_worker()
    assert not marker.exists()
