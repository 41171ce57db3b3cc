"""The password of a cluster on its way into the agent: as few traces as can be.

Other users can read the words of every process, its owner also the environment. So whoever is started with a password
in either begins anew at once, under the same process id, with the password in a pipe; `weave launch` passes that on to
the agent. The agent keeps only what the password was stretched to, writes no core file, and is closed to debuggers of
other users and to `/proc` (root can always look).
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Mapping, Sequence

VARIABLE = "WEAVE_PASSWORD"
OPTION = "--password"
FD_OPTION = "--password-fd"
"""Not for people: number of the pipe that the password is in."""
SIZE_MAX = 4096
"""Bytes; what a pipe takes without anybody reading (PIPE_BUF)."""
SALT = b"weavenet control"
"""The same for all, 16 bytes: hosts have to come to the same key without having met."""
PR_SET_DUMPABLE = 4


class PasswordError(Exception):
    """The password cannot be used; the text says why, without the password."""


def stretched(password: str) -> bytes:
    """Return the key (32 bytes) that stands for a password from here on. Takes 0.1 s and 64 MiB, once.

    The handshake gives nobody anything to test guesses against, so this is a second line: it is in the way of whoever
    has a key from the memory of an agent, or computes discrete logarithms some day. Source: Argon2id (RFC 9106).
    """
    from nacl.pwhash import argon2id

    return bytes(
        argon2id.kdf(
            32,
            password.encode("utf-8", "surrogateescape"),
            SALT,
            opslimit=argon2id.OPSLIMIT_INTERACTIVE,
            memlimit=argon2id.MEMLIMIT_INTERACTIVE,
        )
    )


def split(words: Sequence[str], env: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the password of a command line and environment, empty for none, and the words without it.

    Raises: PasswordError. An empty option counts as none, and then the environment counts. Source: Weave Net.
    """
    password, rest = "", []
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            rest += [word, *remaining]
        elif word == OPTION:
            value = next(remaining, None)
            if value is None:
                raise PasswordError(f"argument {OPTION}: expected one argument")
            password = value
        elif word.startswith(f"{OPTION}="):
            password = word.removeprefix(f"{OPTION}=")
        else:
            rest.append(word)
    return password or env.get(VARIABLE, ""), rest


def to_pipe(password: str) -> int:
    """Return the end of a pipe from which a password can be read once. Raises: PasswordError."""
    data = password.encode("utf-8", "surrogateescape")
    if len(data) > SIZE_MAX:
        raise PasswordError(f"a password of {len(data)} bytes; {SIZE_MAX} are the most")
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


def from_pipe(fd: int) -> str:
    """Return the password that a pipe holds, and close it. Raises: OSError."""
    with open(fd, "rb") as pipe:
        return pipe.read(SIZE_MAX).decode("utf-8", "surrogateescape")


def begin_anew(verb: str, words: Sequence[str], password: str) -> None:
    """Replace this process by one that has the password in a pipe only; does not return. Raises: PasswordError."""
    fd = to_pipe(password)
    os.set_inheritable(fd, True)
    env = {name: value for name, value in os.environ.items() if name != VARIABLE}
    sys.stdout.flush()
    sys.stderr.flush()
    command = (sys.executable, "-P", "-m", "adapters.control.cli", verb, FD_OPTION, str(fd), *words)
    os.execve(sys.executable, command, env)


def protect_process() -> None:
    """See to it that the memory of this process ends in no file and is read by no other user. Raises: OSError."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
