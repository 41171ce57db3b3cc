"""Heads and bodies: what is understood in one way only is passed on, whatever the pieces it comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.docker.body import Body, decoded
from adapters.docker.head import (
    CHUNKED,
    CLOSE,
    FIELDS_MAX,
    HEAD_SIZE_MAX,
    HeadError,
    head_end,
    read_request,
    read_response,
)

CHUNKS = b"5\r\nhallo\r\n1F;ext=1\r\n" + b"x" * 31 + b"\r\n0\r\nTrailer: a\r\n\r\n"


def request(*lines: bytes) -> bytes:
    return b"\r\n".join((*lines, b"", b""))


def test_the_requests_of_docker_s_clients_are_understood() -> None:
    raw = request(b"POST /v1.41/exec/ab/start HTTP/1.1", b"Host: ", b"Content-Length: 31", b"Connection: Upgrade")
    found = read_request(raw)
    assert (found.method, found.path, found.length) == ("POST", "/v1.41/exec/ab/start", 31)
    assert read_request(request(b"PUT /a?x=1 HTTP/1.1", b"Transfer-Encoding: chunked")).length == CHUNKED
    assert read_request(request(b"GET /a?x=1 HTTP/1.1")).query == "x=1"


@pytest.mark.parametrize(
    "lines",
    [
        (b"GET  / HTTP/1.1",),
        (b"GET / HTTP/2.0",),
        (b"GET /\x00 HTTP/1.1",),
        (b"GET / HTTP/1.1", b"Host : a"),
        (b"GET / HTTP/1.1", b" folded: a"),
        (b"GET / HTTP/1.1", b"a: b\nc: d"),
        (b"GET / HTTP/1.1", b"Content-Length: -1"),
        (b"GET / HTTP/1.1", b"Content-Length: 1", b"Content-Length: 2"),
        (b"GET / HTTP/1.1", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        (b"GET / HTTP/1.1", b"Transfer-Encoding: gzip, chunked"),
        (b"GET / HTTP/1.1", b"Transfer-Encoding: identity"),
        (b"GET / HTTP/1.0", b"Transfer-Encoding: chunked"),
        (b"GET / HTTP/1.1", b"Content-Length: 99999999999999999999"),
        (b"GET / HTTP/1.1", *[b"a: b"] * (FIELDS_MAX + 1)),
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(HeadError):
        read_request(request(*lines))


def test_a_head_without_end_is_refused() -> None:
    assert head_end(b"GET / HTTP/1.1\r\n") == 0
    with pytest.raises(HeadError):
        head_end(b"a" * HEAD_SIZE_MAX)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (read_request, lambda raw: read_response(raw, "GET")):
        try:
            read(data + b"\r\n\r\n")
        except HeadError:
            continue


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=20))
def test_any_bytes_are_a_body_or_refused(pieces: list[bytes]) -> None:
    body = Body(CHUNKED)
    for piece in pieces:
        try:
            assert 0 <= body.take(piece) <= len(piece)
        except HeadError:
            return


def test_where_an_answer_ends_depends_on_more_than_its_length() -> None:
    stream = request(b"HTTP/1.1 200 OK", b"Content-Type: application/vnd.docker.multiplexed-stream")
    assert read_response(stream, "POST").is_stream
    assert read_response(request(b"HTTP/1.1 101 UPGRADED"), "POST").is_stream
    with_end = request(b"HTTP/1.1 200 OK", b"Content-Type: application/vnd.docker.raw-stream", b"Content-Length: 3")
    assert not read_response(with_end, "GET").is_stream
    assert read_response(request(b"HTTP/1.1 200 OK", b"Content-Length: 3"), "HEAD").length == 0
    assert read_response(request(b"HTTP/1.1 204 No Content"), "POST").length == 0
    assert read_response(request(b"HTTP/1.0 200 OK"), "GET").length == CLOSE
    assert read_response(request(b"HTTP/1.1 100 Continue"), "POST").is_interim


@pytest.mark.parametrize("size", range(1, len(CHUNKS) + 1))
def test_the_end_of_a_chunked_body_is_found_in_pieces_of_any_size(size: int) -> None:
    data, body, at = CHUNKS + b"next", Body(CHUNKED), 0
    while not body.is_complete:
        at += body.take(data[at : at + size])
    assert data[at:] == b"next"
    assert decoded(CHUNKS) == b"hallo" + b"x" * 31


@pytest.mark.parametrize(
    "bad", [b"x\r\n", b"\r\n", b"-1\r\n", b"1\n", b"f" * 16 + b"\r\n", b"1" * 5000, b"0x5\r\nhallo"]
)
def test_a_malformed_chunk_is_refused(bad: bytes) -> None:
    with pytest.raises(HeadError):
        Body(CHUNKED).take(bad)


def test_trailers_have_a_limit() -> None:
    body = Body(CHUNKED)
    with pytest.raises(HeadError):
        body.take(b"0\r\n" + b"a: b\r\n" * 200)


def test_a_head_gets_another_length_and_keeps_all_else() -> None:
    raw = request(b"POST /a HTTP/1.1", b"X-Odd:  kept ", b"transfer-encoding: chunked", b"Trailer: x")
    assert read_request(raw).head.with_length(7) == request(b"POST /a HTTP/1.1", b"X-Odd:  kept ", b"Content-Length: 7")
