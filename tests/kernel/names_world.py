"""Two real agents with their name servers, and resolvers that others wrote, each told to use one of them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from adapters.control.lab_hosts import Lab

TIMEOUT_S = 60.0
SERVERS = {"A": "10.47.255.1", "B": "10.47.255.2"}
"""What the bridges get for addresses, far from those that are given to containers."""
MANY = tuple(f"10.46.0.{number}" for number in range(1, 51))
MUSL_CLIENT = r"""
#include <netdb.h>
#include <stdio.h>
#include <arpa/inet.h>
int main(int count, char **words) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int code = getaddrinfo(words[1], 0, &hints, &found);
    if (code) { puts(gai_strerror(code)); return 1; }
    for (; found; found = found->ai_next) {
        char text[64];
        void *address = found->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)found->ai_addr)->sin_addr
                                                    : (void *)&((struct sockaddr_in6 *)found->ai_addr)->sin6_addr;
        puts(inet_ntop(found->ai_family, address, text, sizeof text));
    }
    return 0;
}
"""


def text(name: str) -> str:
    """Return a lab file: two hosts with a cable between them, a container on each."""
    return f"""
[lab]
name = "{name}"
launch = ["--resolv-conf", "/dev/null"]
[[host]]
name = "A"
[[host]]
name = "B"
[[link]]
a = "A"
b = "B"
[[container]]
host = "A"
name = "a1"
attach = true
[[container]]
host = "B"
name = "b1"
attach = true
"""


def give_addresses(lab: Lab) -> None:
    """Give the bridges addresses, and wait until names are served there."""
    for host, address in SERVERS.items():
        assert lab.run(host, "ip", "addr", "add", f"{address}/12", "dev", "weave").returncode == 0
    for host, address in SERVERS.items():
        wait_for(lambda host=host: weave(lab, host, "dns-args"), f"--dns={address} ")


def weave(lab: Lab, host: str, *words: str) -> str:
    """Return what a command said."""
    done = lab.run(host, "weave", *words, timeout_s=TIMEOUT_S)
    return done.stdout + done.stderr


def wait_for(said: Callable[[], str], wanted: str) -> str:
    """Return what was said once it is that."""
    deadline = time.monotonic() + TIMEOUT_S
    while wanted not in (answer := said()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)
    return answer


def dig(lab: Lab, place: str, *words: str) -> list[str]:
    """Return the addresses that `dig` prints, in a host or container, sorted."""
    server = SERVERS[place[0]]
    done = lab.run(place, "dig", f"@{server}", "+short", "+tries=1", "+time=2", *words, timeout_s=TIMEOUT_S)
    return sorted(done.stdout.split())


class Resolvers:
    """Programs of containers, each of which reads a `resolv.conf` of its own."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._folder = folder
        (folder / "nsswitch.conf").write_text("hosts: files dns\n")
        (folder / "client.c").write_text(MUSL_CLIENT)
        self.musl = str(folder / "client")
        subprocess.run(("musl-gcc", "-static", "-o", self.musl, str(folder / "client.c")), check=True)

    def run(self, place: str, *words: str, options: str = "") -> str:
        """Return what a program prints where the name server of that host is the only one."""
        conf = self._folder / "resolv.conf"
        conf.write_text(f"nameserver {SERVERS[place[0]]}\nsearch weave.local\n{options}\n")
        mounts = " && ".join(
            f"mount --bind {self._folder}/{name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf")
        )
        script = f'{mounts} && exec "$@"'
        done = self._lab.run(place, "unshare", "--mount", "sh", "-c", script, "sh", *words, timeout_s=TIMEOUT_S)
        return done.stdout + done.stderr
