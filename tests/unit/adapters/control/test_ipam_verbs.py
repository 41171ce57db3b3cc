"""What `weave ipam gc` dares to free."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from adapters.control import ipam_verbs
from adapters.control.ipam_verbs import Verdict, gc, judge, look_for
from adapters.control.words import Failure

GONE, STOPPED, MADE, BROKEN = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
NOW_S = 1_000_000.0
OLD_MS = 0


def entry(ident: str, *, since_ms: int = OLD_MS, left: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"Ident": ident, "CIDRs": ["10.32.0.1/12"], "SinceMS": since_ms, "Left": list(left)}


class _Server(ThreadingUnixStreamServer):
    def __init__(self, path: Path, answers: dict[str, tuple[int, str]]) -> None:
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(f"{self.command} {self.path}")
                status, body = answers.get(self.path, (404, "none"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            do_DELETE = do_GET

            def address_string(self) -> str:
                return "unix"

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    def state(text: str) -> tuple[int, str]:
        return 200, json.dumps({"State": {"Status": text}})

    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    server = _Server(
        path,
        {
            f"/containers/{STOPPED}/json": state("exited"),
            f"/containers/{MADE}/json": state("created"),
            f"/containers/{BROKEN}/json": (500, "out of order"),
        },
    )
    yield server
    server.shutdown()
    server.server_close()


def test_what_has_just_been_given_or_is_freed_anyway_is_kept() -> None:
    gone = Verdict(True, "looked for")
    assert judge(entry("x"), NOW_S, lambda _: gone) == gone
    assert not judge(entry("x", since_ms=int(NOW_S * 1000) - 59_000), NOW_S, lambda _: gone).is_gone
    assert not judge(entry("x", left=("10.32.0.1/12",)), NOW_S, lambda _: gone).is_gone


def test_a_process_is_looked_for() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert look_for(f"pid-{child.pid}").is_gone
    assert look_for(str(child.pid)).is_gone
    assert not look_for(f"pid-{os.getpid()}").is_gone


def test_docker_is_asked_and_only_a_clear_no_counts(docker: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipam_verbs, "_cgroups", lambda: ["0::/system.slice"])
    assert [look_for(ident).is_gone for ident in (GONE, STOPPED, MADE, BROKEN)] == [True, True, False, False]
    monkeypatch.setattr(ipam_verbs, "_cgroups", lambda: [f"0::/kubepods/cri-containerd-{GONE}.scope"])
    assert not look_for(GONE).is_gone
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert not look_for(STOPPED).is_gone


def test_what_nobody_knows_is_kept_until_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = json.dumps([entry("my-script"), entry("pid-0")])
    monkeypatch.setenv("WEAVE_RUNTIME_DIR", str(tmp_path))
    agent = _Server(
        tmp_path / "control.sock",
        {"/ipam/idle": (200, idle), "/ipam/idle/my-script": (200, ""), "/ipam/idle/pid-0": (200, "")},
    )
    try:
        dry = gc(["--dry-run"])
        assert "my-script 10.32.0.1/12 kept: nothing here tells what it is" in dry
        assert "pid-0 10.32.0.1/12 would be freed: there is no process 0 any more" in dry
        assert agent.asked == ["GET /ipam/idle"]
        gc([])
        assert agent.asked[1:] == ["GET /ipam/idle", "DELETE /ipam/idle/pid-0"]
        assert gc(["my-script"]) == "my-script 10.32.0.1/12 freed: named by you\n"
        with pytest.raises(Failure, match="other: no addresses without an interface"):
            gc(["other"])
    finally:
        agent.shutdown()
        agent.server_close()
