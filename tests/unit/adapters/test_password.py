"""The password's way from the command line into the agent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters import password
from adapters.password import PasswordError, from_pipe, split, stretched, to_pipe

ROOT = Path(__file__).parents[3]
ENV = {"WEAVE_PASSWORD": "from-env"}


@pytest.mark.parametrize(
    ("words", "env", "found", "rest"),
    [
        (["--port", "1", "peer"], {}, "", ["--port", "1", "peer"]),
        (["--password", "x", "peer"], {}, "x", ["peer"]),
        (["peer", "--password=x=y"], ENV, "x=y", ["peer"]),
        (["--password", ""], ENV, "from-env", []),
        (["--password="], {}, "", []),
        (["peer"], ENV, "from-env", ["peer"]),
        (["--password", "first", "--password", "last"], {}, "last", []),
        (["--", "--password", "x"], {}, "", ["--", "--password", "x"]),
    ],
)
def test_the_password_is_taken_out_of_the_words(
    words: list[str], env: dict[str, str], found: str, rest: list[str]
) -> None:
    assert split(words, env) == (found, rest)


def test_an_option_without_its_value_is_named() -> None:
    with pytest.raises(PasswordError, match="--password: expected one argument"):
        split(["peer", "--password"], {})


@pytest.mark.parametrize("text", ["x", "pässwörd \n '\"", "\udcff", "p" * password.SIZE_MAX])
def test_a_pipe_gives_back_what_was_put_in(text: str) -> None:
    assert from_pipe(to_pipe(text)) == text


def test_a_password_that_no_pipe_takes_is_refused_without_being_said() -> None:
    with pytest.raises(PasswordError) as error:
        to_pipe("q" * (password.SIZE_MAX + 1))
    assert "qqq" not in str(error.value)


def test_the_same_password_makes_the_same_key_everywhere_and_another_another() -> None:
    key = stretched("hunter2")
    assert key.hex()[:16] == "adfd4a62301b5a8a"
    assert key != stretched("hunter3")
    assert len(stretched("")) == 32


def test_the_process_begins_anew_without_the_password_in_words_and_environment() -> None:
    script = (
        "import sys; from adapters import password\n"
        "import os\n"
        "def show(path, words, env): print(os.getpid(), words, sorted(env)); "
        "print(password.from_pipe(int(words[words.index('--password-fd') + 1])) == 'hunter2')\n"
        "os.execve = show\n"
        "password.begin_anew('launch', ['peer'], 'hunter2')\n"
    )
    env = {"PYTHONPATH": str(ROOT), "WEAVE_PASSWORD": "hunter2", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "hunter2" not in first
    assert "WEAVE_PASSWORD" not in first
    assert "'launch'" in first
    assert "'peer'" in first
    assert second == "True"


def test_a_protected_process_leaves_no_core_and_is_closed_to_debuggers() -> None:
    script = (
        "import ctypes, resource; from adapters.password import protect_process\n"
        "get = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "before = get(); protect_process(); print(before, get(), resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1)[1] == "0 (0, 0)\n"
