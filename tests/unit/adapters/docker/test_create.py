"""What becomes of a container that is created: the rules, on texts."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.docker.create import Image, hostname_of, rewrite, rewrite_start, wanted_addresses
from adapters.docker.document import Document, DocumentError, bytes_of, document_of
from adapters.docker.hosts import HostsError, hosts_text, write_hosts
from adapters.docker.options import OptionsError, ProxyOptions, add_options, from_text, normalised, read_options
from adapters.docker.tls import Tls, of_daemon

IMAGE = Image(("/entry",), ("image-cmd",), ())
DNS = "172.17.0.1"
MOUNT = "/var/lib/weave/shim/wait:/w:ro"


def options(*words: str, domain: str = "weave.local.", env: dict[str, str] | None = None) -> ProxyOptions | None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    for flag in ("--no-dns", "--without-dns"):
        parser.add_argument(flag, action="store_true")
    asked = parser.parse_args(normalised(list(words)))
    return read_options(asked, env or {}, runtime=Path("/run/w"), data=Path("/var/lib/weave"), domain=domain)


def some(*words: str) -> ProxyOptions:
    found = options("--proxy", *words)
    assert found is not None
    return found


def created(body: dict[str, Any], *words: str, name: str = "", image: Image = IMAGE) -> dict[str, Any] | None:
    document = Document(json.dumps(body))
    if rewrite(document, {"name": [name]} if name else {}, image, some(*words), DNS) is None:
        return None
    found = json.loads(str(document))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("own", "entrypoint", "command"),
    [
        ({}, ["/w/w", "/entry"], ["image-cmd"]),
        ({"Cmd": ["a"]}, ["/w/w", "/entry"], ["a"]),
        ({"Cmd": "a"}, ["/w/w", "/entry"], "a"),
        ({"Entrypoint": ["e"]}, ["/w/w", "e"], None),
        ({"Entrypoint": "e", "Cmd": ["a"]}, ["/w/w", "e"], ["a"]),
        ({"Entrypoint": [""], "Cmd": ["a"]}, ["/w/w"], ["a"]),
        ({"Entrypoint": [], "Cmd": ["a"]}, ["/w/w"], ["a"]),
        ({"Entrypoint": ["/w/w", "e"], "Cmd": ["a"]}, ["/w/w", "e"], ["a"]),
    ],
)
def test_the_shim_comes_before_whatever_the_container_would_run(
    own: dict[str, Any], entrypoint: list[str], command: list[str] | str | None
) -> None:
    found = created(own)
    assert found is not None
    assert found["Entrypoint"] == entrypoint
    assert found.get("Cmd") == command


def test_an_image_made_of_a_container_is_not_doubled() -> None:
    found = created({}, image=Image(("/w/w", "sh"), (), ()))
    assert found is not None
    assert "Entrypoint" not in found or found["Entrypoint"] == ["/w/w", "sh"]


def test_without_any_command_the_daemon_s_own_error_is_wanted() -> None:
    assert created({}, image=Image((), (), ())) is None
    assert created({"Entrypoint": [""]}) is None


def test_a_mount_of_the_user_s_at_the_shim_s_place_gives_way() -> None:
    found = created({"HostConfig": {"Binds": ["/a:/b", "/evil:/w", "/evil:/w/:ro"]}})
    assert found is not None
    assert found["HostConfig"]["Binds"] == ["/a:/b", MOUNT]
    other = created({}, "--no-multicast-route")
    assert other is not None
    assert other["HostConfig"]["Binds"] == [MOUNT.replace("/wait:", "/wait-no-multicast:")]


@pytest.mark.parametrize(
    ("network", "environment", "words", "addresses"),
    [
        ("", (), (), ("net:default",)),
        ("default", ("WEAVE_CIDR=",), (), ("net:default",)),
        ("bridge", ("A=b", "WEAVE_CIDR=10.2.1.1/24 net:10.3.0.0/16"), (), ("10.2.1.1/24", "net:10.3.0.0/16")),
        ("none", ("WEAVE_CIDR=none",), (), None),
        ("host", ("WEAVE_CIDR=10.2.1.1/24",), (), None),
        ("container:a", (), (), None),
        ("weave", (), (), None),
        ("none", (), ("--no-default-ipalloc",), None),
        ("none", ("WEAVE_CIDR=",), ("--no-default-ipalloc",), ("net:default",)),
    ],
)
def test_who_is_put_on_the_network(
    network: str, environment: tuple[str, ...], words: tuple[str, ...], addresses: tuple[str, ...] | None
) -> None:
    assert wanted_addresses(network, environment, some(*words)) == addresses
    found = created({"HostConfig": {"NetworkMode": network}, "Env": list(environment)}, *words)
    assert (found is None) == (addresses is None)


def test_an_image_s_environment_counts_behind_the_container_s_own() -> None:
    image = replace(IMAGE, environment=("WEAVE_CIDR=none",))
    assert created({}, image=image) is None
    assert created({"Env": ["WEAVE_CIDR="]}, image=image) is not None


@pytest.mark.parametrize(
    ("name", "words", "hostname"),
    [
        ("web", (), "web"),
        ("web-1", ("--hostname-match", "(.*)-[0-9]+", "--hostname-replacement", "my-$1-app"), "my-web-app"),
        ("web-1", ("--hostname-match", "(?P<n>[a-z]+).*", "--hostname-replacement", "${n}x$$"), "webx$"),
        ("web", ("--hostname-replacement", "x-$1"), "x-web"),
        ("web", ("--hostname-replacement", "$1x"), ""),
        ("web", ("--hostname-replacement", "$9${no}"), ""),
        ("abc", ("--hostname-match", "b*", "--hostname-replacement", "-"), "-a-c-"),
    ],
)
def test_names_become_host_names_as_go_replaces(name: str, words: tuple[str, ...], hostname: str) -> None:
    assert hostname_of(name, some(*words)) == hostname


def test_names_and_name_servers() -> None:
    found = created({}, name="web")
    assert found is not None
    assert (found["Hostname"], found["Domainname"]) == ("web", "weave.local")
    assert (found["HostConfig"]["Dns"], found["HostConfig"]["DnsSearch"]) == ([DNS], ["."])
    nameless = created({"HostConfig": {"Dns": ["8.8.8.8"]}})
    assert nameless is not None
    assert "Hostname" not in nameless
    assert nameless["HostConfig"]["Dns"] == ["8.8.8.8", DNS]
    assert nameless["HostConfig"]["DnsSearch"] == ["weave.local."]
    own = created({"Hostname": "own", "HostConfig": {"DnsSearch": ["a.b"]}}, name="web")
    assert own is not None
    assert (own["Hostname"], own["HostConfig"]["DnsSearch"]) == ("own", ["a.b"])
    without = created({}, "--without-dns", name="web")
    assert without is not None
    assert set(without["HostConfig"]) == {"Binds"}
    long = created({}, name="x" * 60)
    assert long is not None
    assert "Hostname" not in long
    label = created({"Labels": {"host": "lab"}}, "--hostname-from-label", "host", name="web")
    assert label is not None
    assert label["Hostname"] == "lab"


@pytest.mark.parametrize("body", [{"Dns": ["8.8.8.8"]}, {"HostConfig": {"Binds": ["/a:/b"], "Dns": ["8.8.8.8"]}}])
def test_a_start_that_replaces_the_settings_of_the_creation_keeps_ours(body: dict[str, Any]) -> None:
    document = Document(json.dumps(body))
    rewrite_start(document, some(), DNS)
    found = json.loads(str(document))
    host = found.get("HostConfig", found)
    assert host["Binds"][-1] == MOUNT
    assert host["Dns"] == ["8.8.8.8", DNS]


def test_only_what_changes_is_written_anew() -> None:
    text = (
        b'{ "Big" : 12345678901234567890123, "F":1.50e+3,"Odd\\u0041":"\\/\xff","HostConfig":{"Memory": 1e0 },"Z":null}'
    )
    document = document_of(text)
    assert rewrite(document, {}, IMAGE, some("--without-dns"), DNS) is not None
    out = bytes_of(document)
    assert out.startswith(
        b'{ "Big" : 12345678901234567890123, "F":1.50e+3,"Odd\\u0041":"\\/\xff","HostConfig":{"Memory": 1e0 '
    )
    assert b'"Z":null' in out


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_no_json_breaks_the_rules(value: object) -> None:
    for body in (value, {"HostConfig": value}, {"Env": value, "Cmd": value}, {"Labels": value, "Hostname": value}):
        try:
            document = Document(json.dumps(body))
            rewrite(document, {}, IMAGE, some(), DNS)
            json.loads(str(document))
        except DocumentError:
            continue


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", '{"a":' + "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        Document(text)


def test_members_are_named_as_go_reads_them() -> None:
    document = Document('{"cmd":["a"],"CMD":["b"],"n":{"x":1}}')
    assert document.get("Cmd") == ["b"]
    document.set("Cmd", ["c"])
    part = document.part("N")
    part.set("y", 2)
    document.set("N", part)
    assert str(document) == '{"cmd":["a"],"CMD":["c"],"n":{"x":1,"y":2}}'


def test_options_travel_and_are_checked() -> None:
    found = some("-H", "tcp://0.0.0.0:12375", "-H", "unix:///x.sock")
    assert from_text(found.to_text()) == found
    assert found.listen == ("tcp://0.0.0.0:12375", "unix:///x.sock")
    assert some().listen == ("unix:///run/w/weave.sock",)
    assert some("--docker-api", "tcp://10.0.0.1:2375").listen == ("tcp://0.0.0.0:12375",)
    assert options("--proxy=false") is None
    assert options("--docker-api", "unix:///nowhere.sock") is None, "no daemon, no proxy, unless it is asked for"
    assert options(env={"DOCKER_HOST": "ssh://host"}) is None, "what only a client can reach"
    with pytest.raises(OptionsError, match="does not speak TLS"):
        options(env={"DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1"})
    own = options("--proxy", env={"DOCKER_HOST": "unix:///run/w/weave.sock"})
    assert own is not None
    assert own.docker == "unix:///var/run/docker.sock", "not itself"
    for words, text in (
        (("-H", "unix://x.sock"), "unix sockets must be specified as an absolute path"),
        (("-H", "fd://"), "neither unix"),
        (("--hostname-match", "("), "Incorrect hostname match"),
        (("--tlsverify",), "--tlscacert is needed"),
    ):
        with pytest.raises(OptionsError, match=text):
            some(*words)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("-H", "fd://"), None),
        (("--tls=false",), None),
        (("--tlsverify",), Tls(("/d/ca.pem", "/d/cert.pem", "/d/key.pem"), True)),
        (("--tls", "--tlscert=/a", "--tlskey", "/b"), Tls(("/d/ca.pem", "/a", "/b"), False)),
        (("--tlsverify=true", "--tlscacert", "/c", "--tlskey"), Tls(("/c", "/d/cert.pem", "/d/key.pem"), True)),
    ],
)
def test_tls_of_a_daemon_is_read_from_its_command_line(words: tuple[str, ...], found: Tls | None) -> None:
    assert of_daemon(words, "/d") == found


def test_a_hosts_file_has_the_address_first_and_is_written_past_the_daemon(tmp_path: Path) -> None:
    text = hosts_text("web", "weave.local", ["10.32.0.1"], ["db:10.0.0.9", "six:fe80::1"])
    assert re.search(r"^10\.32\.0\.1       web\.weave\.local web$", text, re.M)
    assert re.search(r"^fe80::1         six$", text, re.M)
    assert text.index("10.32.0.1") < text.index("127.0.0.1")
    path = tmp_path / "abc" / "hosts"
    path.parent.mkdir()
    path.write_text("before")
    mounted = path.open()
    write_hosts(str(path), "abc", text)
    assert mounted.read() == path.read_text() == text
    path.write_text("later, by the daemon")
    mounted.seek(0)
    assert mounted.read() == text


def test_only_a_container_s_own_hosts_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "abc" / "hosts").symlink_to(target)
    for path in (tmp_path / "abc" / "hosts", tmp_path / "other" / "hosts", tmp_path / "abc" / "passwd"):
        with pytest.raises(HostsError):
            write_hosts(str(path), "abc", "text")
    assert target.read_text() == "precious"
