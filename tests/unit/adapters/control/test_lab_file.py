"""A lab file is either a checked lab or an error that names the place."""

from __future__ import annotations

import pytest

from adapters.control.lab_file import Container, Host, LabError, Link, load, parse
from adapters.control.lab_hosts import Lab, peer_name
from adapters.control.lab_kernel import Namespace, burst_bytes, parse_name

LINE = """
[lab]
name = "line"
launch = ["--no-dns"]
[[host]]
name = "A"
launch = ["--port", "7000"]
[[host]]
name = "B"
peers = []
[[host]]
name = "C"
launch = false
[[link]]
a = "A"
b = "B"
delay = "10ms"
rate = "1.5mbit"
loss = "0.5%"
[[link]]
a = "C"
b = "B"
[[container]]
host = "A"
name = "a1"
attach = true
addresses = ["10.2.1.1/24", "net:default"]
"""


def test_every_part_arrives() -> None:
    lab = parse(LINE)
    assert lab.name == "line"
    assert lab.hosts == (
        Host("A", ("--no-dns", "--port", "7000"), ("B",)),
        Host("B", ("--no-dns",), ()),
        Host("C", None, ("B",)),
    )
    assert lab.links == (Link("A", "B", "10ms", "1.5mbit", "0.5%"), Link("C", "B"))
    assert lab.containers == (Container("A", "a1", ("10.2.1.1/24", "net:default"), True),)


def test_a_host_dials_its_peers_on_the_link_between_them() -> None:
    lab = Lab(parse(LINE))
    assert lab.address("A", "B") == "198.18.0.1"
    assert lab.address("B", "A") == "198.18.0.2"
    assert lab.address("C", "B") == "198.18.0.5"
    assert lab.launch_command("A")[-4:] == ("--no-dns", "--port", "7000", "198.18.0.2")
    assert lab.launch_command("B")[-1] == "--no-dns"


def test_hosts_without_a_link_have_no_address_for_each_other() -> None:
    with pytest.raises(LabError, match="no link A – C"):
        Lab(parse(LINE)).address("A", "C")


def test_peer_names_are_stable_unicast_and_differ() -> None:
    assert peer_name("line", "A") == peer_name("line", "A")
    assert peer_name("line", "A") != peer_name("line", "B")
    assert int(peer_name("line", "A")[:2], 16) & 0b11 == 0b10


HEAD = '[lab]\nname = "x"\n[[host]]\nname = "A"\n[[host]]\nname = "B"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lab", "not valid TOML"),
        ('[lab]\nname = "x"', "at least one"),
        ('[[host]]\nname = "A"', r"\[lab\]: name is None"),
        ('[lab]\nname = "x.y"\n[[host]]\nname = "A"', "name is 'x.y'"),
        ('[lab]\nname = "x"\n[[host]]\nname = "a-b"', "1 to 12 letters and digits"),
        ('[lab]\nname = "x"\n[[host]]\nname = "averylongname"', "1 to 12 letters and digits"),
        ("lab = 3", "must be a table"),
        ("host = 3\n" + '[lab]\nname = "x"', r"\[\[host\]\] tables"),
        (HEAD + '[[host]]\nname = "A"', "host A is there twice"),
        (HEAD + 'colour = "red"', "unknown key colour; known are name, launch, peers"),
        (HEAD + 'peers = ["A"]', "host B lists peer A, but no"),
        (HEAD + 'peers = ["Z"]', "no host Z; its hosts are A, B"),
        (HEAD + "peers = [3]", "list of texts"),
        (HEAD + "launch = true", "list of texts"),
        (HEAD + '[[link]]\na = "A"\nb = "Z"', "no host Z"),
        (HEAD + '[[link]]\na = "A"\nb = "A"', "linked to itself"),
        (HEAD + '[[link]]\na = "A"\nb = "B"\n[[link]]\na = "B"\nb = "A"', "link A – B is there twice"),
        (HEAD + '[[link]]\na = "A"\nb = "B"\ndelay = "10"', "text such as"),
        (HEAD + '[[link]]\na = "A"\nb = "B"\nrate = 5', "text such as"),
        (HEAD + '[[link]]\na = "A"\nb = "B"\nloss = "101%"', "text such as"),
        (HEAD + '[[container]]\nhost = "Z"\nname = "c"', "no host Z"),
        (HEAD + '[[container]]\nhost = "A"\nname = "c.d"', "name is 'c.d'"),
        (HEAD + '[[container]]\nhost = "A"\nname = "c"\nattach = 1', "true or false"),
        (HEAD + 'launch = false\n[[container]]\nhost = "B"\nname = "c"\nattach = true', "launch = false"),
    ],
)
def test_a_bad_file_says_where_and_what(text: str, message: str) -> None:
    with pytest.raises(LabError, match=message):
        parse(text)


def test_a_missing_file_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LabError, match=r"cannot read lab file .*none\.toml"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "namespace",
    [Namespace("a", "B"), Namespace("a-b", "C"), Namespace("a-b", "C", "web-1"), Namespace("a", "B", "c_1")],
)
def test_a_name_can_be_taken_apart(namespace: Namespace) -> None:
    assert parse_name(namespace.name) == namespace


@pytest.mark.parametrize("name", ["other", "wnlab-", "wnlab-x", "wnlab--x", "wnlab-x-", "wnlab-x-A."])
def test_foreign_names_are_left_alone(name: str) -> None:
    assert parse_name(name) is None


def test_a_token_bucket_holds_a_whole_segment_and_a_tick_of_its_rate() -> None:
    assert burst_bytes("100kbit") == 65_536
    assert burst_bytes("1gbit") == 1_250_000
