"""A container's /etc/hosts, in which its own name stands for its address on the network.

Docker keeps the file on the host and mounts it into the container, so it is written here, where the daemon's own path
leads to it; Weave Net started another container for that, which is slow and needs an image. A daemon whose files cannot
be seen (it runs in a mount namespace of its own) gets no rewritten files, and a warning says so: going through
/proc/PID/root instead would follow the container's symbolic links.

The file is written, unlinked, and written again: what the container has mounted is the first, and what the daemon
writes later, when networks come and go, goes into the second.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

BEGIN = "# created by Weave - BEGIN"
END = "# created by Weave - END"
DEFAULTS = (
    ("127.0.0.1", "localhost"),
    ("::1", "ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("ff00::0", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
MODE = 0o644


class HostsError(Exception):
    """The file cannot be written; the text says which and why."""


def hosts_text(hostname: str, domain: str, addresses: Sequence[str], extra: Sequence[str]) -> str:
    """Return the file: `addresses` are bare, `extra` is `NAME:ADDRESS` as Docker keeps `--add-host`."""
    names = f"{hostname}.{domain} {hostname}" if domain else hostname
    lines = [BEGIN, "# container hostname", *(f"{address:<15} {names}" for address in addresses), ""]
    if extra:
        lines.append("# static names added with --add-host")
        lines += [f"{item.partition(':')[2]:<15} {item.partition(':')[0]}" for item in extra]
        lines.append("")
    lines += ["# default localhost entries", *(f"{address:<15} {name}" for address, name in DEFAULTS), END, ""]
    # Nothing that Docker lets into a name can begin a line of its own.
    return "\n".join(line.replace("\n", " ") for line in lines)


def write_hosts(path: str, container: str, text: str) -> None:
    """Write the file that a container has mounted. Raises: HostsError."""
    file = Path(path)
    if file.name != "hosts" or file.parent.name != container:
        raise HostsError(f"{path} is not where Docker keeps the file of container {container}")
    data = text.encode()
    try:
        _write(file, data, os.O_TRUNC)
        file.unlink()
        _write(file, data, os.O_CREAT | os.O_EXCL)
    except OSError as error:
        raise HostsError(f"{path}: {error.strerror}") from error


def _write(file: Path, data: bytes, flags: int) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, MODE)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a file")
        os.write(fd, data)
    finally:
        os.close(fd)
