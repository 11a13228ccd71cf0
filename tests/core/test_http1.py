"""core/http1: request bytes against a plain reading, answers against a slow model."""

from __future__ import annotations

import copy
import http.client
import io
import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mexcfast.core.http1 import MAX_ANSWER, MAX_HEAD, MAX_LINE, AnswerReader, RequestForm
from mexcfast.core.sign import Signer
from mexcfast.errors import BadAnswer, ConfigError, IntentError
from models import hmac_model, http_model

KEY, SECRET = "mxU1TzSmRDW1o5AsE", "mexcfast-demo-secret-0001"
NOW = 1_761_888_808_839
TARGET = "/api/v1/private/order/create"
OK = (b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 15:00:00 GMT\r\nContent-Type: text/json\r\n"
      b"Content-Length: 17\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75, max=100\r\n\r\n"
      b'{"success": true}')
CHUNKED = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           b'5\r\n{"suc\r\n0C\r\ncess": true}\r\n0\r\n\r\n')


def form(**more):
    return RequestForm(Signer(KEY, SECRET), "POST", TARGET, "api.mexc.com",
                       (("Content-Type", "application/json"), ("Language", "한국어")), **more)


# -- requests ------------------------------------------------------------------------------------

@settings(deadline=None)
@given(body=st.binary(max_size=600), now=st.integers(10**12, 10**13 - 1))
@example(body=b"", now=NOW)
@example(body=b"x" * 100_000, now=NOW)
def test_a_request_is_its_parts(body, now):
    signature = hmac_model.signature(KEY, SECRET, now, body)
    head = (f"POST {TARGET} HTTP/1.1\r\nHost: api.mexc.com\r\nContent-Type: application/json\r\n"
            f"Language: 한국어\r\nApiKey: {KEY}\r\nRequest-Time: {now}\r\n"
            f"Signature: {signature}\r\n")
    assert form().build(now, body) == f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    assert form(last_headers=[("Recv-Window", "20")]).build(now, body) == (
        f"{head}Recv-Window: 20\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


@pytest.mark.parametrize("arguments", [
    ("PO ST", TARGET, "h"), ("POST", "/a b", "h"), ("POST", "/a\r\nX: y", "h"), ("POST", "/é", "h"),
    ("POST", "", "h"), ("POST", TARGET, ""), ("POST", TARGET, "h\r\nX: y"), ("POST", TARGET, "h",
    [("A", "b\n")]), ("POST", TARGET, "h", [("A", "")]), ("POST", TARGET, "h", (), [("A\0", "b")]),
    ("POST", TARGET, "h", [("A", None)]), (b"POST", TARGET, "h"),
], ids=str)
def test_what_cannot_stand_in_a_head_is_refused(arguments):
    with pytest.raises(ConfigError):
        RequestForm(Signer(KEY, SECRET), *arguments)


@pytest.mark.parametrize("now", [0, -1, 10**13, 2**64, True, "1", None, 1.5])
def test_absurd_times_are_refused(now):
    with pytest.raises(IntentError, match="timestamp_ms"):
        form().build(now, b"{}")


def test_a_form_gives_no_key_away():
    made = form()
    assert repr(made) == f"<RequestForm POST {TARGET}>"
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(made)
    with pytest.raises(TypeError):
        RequestForm(None, "POST", TARGET, "h")
    with pytest.raises(TypeError):
        made.build(NOW, None)
    with pytest.raises(TypeError):
        made.build(NOW, "text")


# -- answers -------------------------------------------------------------------------------------

def fed(pieces):
    """What the reader makes of pieces: a tuple as the model's, "more" or "bad"."""
    reader = AnswerReader()
    try:
        whole = [reader.feed(piece) for piece in pieces]
    except BadAnswer as error:
        assert reader.body is None
        assert error.status == reader.status
        with pytest.raises(BadAnswer):
            reader.feed(b"x")
        return "bad"
    assert not any(whole[:-1]) or not any(pieces[whole.index(True) + 1:])
    if not whole or not whole[-1]:
        assert reader.body is None
        return "more"
    return reader.status, reader.body, reader.keep_alive, reader.keep_alive_s


def modelled(data):
    try:
        return http_model.read(data)
    except http_model.More:
        return "more"
    except http_model.Bad:
        return "bad"


def judge(data):
    """The same from the model, in one piece, byte by byte, and cut once anywhere."""
    truth = modelled(data)
    assert fed([data]) == truth, data
    assert fed([data[i:i + 1] for i in range(len(data))] or [b""]) == truth, data
    for cut in range(len(data) + 1):
        assert fed([data[:cut], data[cut:]]) == truth, (data, cut)
    return truth


def test_answers_as_they_come():
    assert judge(OK) == (200, b'{"success": true}', True, 75)
    assert judge(CHUNKED) == (200, b'{"success": true}', True, -1)


@pytest.mark.parametrize("data", [OK, CHUNKED])
def test_every_beginning_of_an_answer_wants_more(data):
    for stop in range(len(data)):
        assert judge(data[:stop]) == "more"
    assert judge(data + b"x") == "bad"


def head(*lines, status=b"HTTP/1.1 200 OK"):
    return b"\r\n".join([status, *lines]) + b"\r\n\r\n"


@pytest.mark.parametrize(("data", "truth"), [
    (head(b"Content-Length: 0"), (200, b"", True, -1)),
    (head(b"content-length:2") + b"{}", (200, b"{}", True, -1)),
    (head(b"Content-Length: \t 002 ") + b"{}", (200, b"{}", True, -1)),
    (head(b"Content-Length: 0", status=b"HTTP/1.1 403"), (403, b"", True, -1)),
    (head(b"Content-Length: 0", status=b"HTTP/1.1 999 \xff"), (999, b"", True, -1)),
    (head(b"Content-Length: 0", b"Connection: close"), (200, b"", False, -1)),
    (head(b"Content-Length: 0", b"Connection: Keep-Alive"), (200, b"", True, -1)),
    (head(b"Content-Length: 0", b"Connection: upgrade"), (200, b"", False, -1)),
    (head(b"Content-Length: 0", b"Keep-Alive: timeout=5"), (200, b"", True, 5)),
    (head(b"Content-Length: 0", b"Keep-Alive: timeout=5s"), (200, b"", True, -1)),
    (head(b"Content-Length: 0", b"Keep-Alive: timeout=, max=1"), (200, b"", True, -1)),
    (head(b"Content-Length: 0", b"Keep-Alive: timeout=99999999999"), (200, b"", True, -1)),
    (head(b"Content-Length: 0", b"Content-Encoding: identity"), (200, b"", True, -1)),
    (head(status=b"HTTP/1.1 204 No Content"), (204, b"", True, -1)),
    (head(b"X: \xe5\xb8\x81", b"Content-Length: 1") + b"1", (200, b"1", True, -1)),
    (head(b"Transfer-Encoding: CHUNKED") + b"a\r\n0123456789\r\n0\r\n\r\n",
     (200, b"0123456789", True, -1)),
    (head(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", (200, b"", True, -1)),
])
def test_answers_that_are_read(data, truth):
    assert judge(data) == truth


@pytest.mark.parametrize("data", [
    head(status=b"HTTP/1.1 100 Continue"), head(status=b"HTTP/1.1 101 X"),
    head(b"Content-Length: 0", status=b"HTTP/1.0 200 OK"),
    head(b"Content-Length: 0", status=b"HTTP/1.1 2000 OK"),
    head(b"Content-Length: 0", status=b"HTTP/1.1  200 OK"),
    head(b"Content-Length: 0", status=b"HTTP/1.1 099 OK"),
    head(b"Content-Length: 0", status=b"HTTP/1.1 200 O\0K"),
    head(b"Content-Length: 0", status=b"HTTP/2 200"), head(status=b"\r\nHTTP/1.1 200 OK"),
    head(), head(b"Content-Length: "), head(b"Content-Length: -1"), head(b"Content-Length: +1"),
    head(b"Content-Length: 1 1"), head(b"Content-Length: 0x1"), head(b"Content-Length: 1,1"),
    head(b"Content-Length: 0", b"Content-Length: 0"), head(b"Content-Length: 1234567"),
    head(b"Content-Length: 99999999999"),
    head(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    head(b"Transfer-Encoding: chunked", b"Content-Length: 0"),
    head(b"Transfer-Encoding: gzip"), head(b"Transfer-Encoding: gzip, chunked"),
    head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    head(b"Content-Encoding: gzip", b"Content-Length: 0"),
    head(b"Content-Length : 0"), head(b" Content-Length: 0"), head(b": 0"), head(b"nothing"),
    head(b"X: a", b" folded", b"Content-Length: 0"), head(b"X: \x01", b"Content-Length: 0"),
    head(b"X: \x7f", b"Content-Length: 0"), head(b"X: a\rb", b"Content-Length: 0"),
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
    head(b"Content-Length: 1", status=b"HTTP/1.1 204 X"),
    head(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 304 X"),
    head(b"Transfer-Encoding: chunked") + b"\r\n", head(b"Transfer-Encoding: chunked") + b"g\r\n",
    head(b"Transfer-Encoding: chunked") + b"1;a=b\r\n1\r\n",
    head(b"Transfer-Encoding: chunked") + b"000000001\r\n",
    head(b"Transfer-Encoding: chunked") + b"ffffffff\r\n",
    head(b"Transfer-Encoding: chunked") + b"-1\r\n",
    head(b"Transfer-Encoding: chunked") + b"1\r\n12\r\n",
    head(b"Transfer-Encoding: chunked") + b"1\r\n1\n0\r\n",
    head(b"Transfer-Encoding: chunked") + b"0\r\nX: y\r\n\r\n",
    head(b"Transfer-Encoding: chunked") + b"0\r\n\r\nHTTP/1.1 200 OK\r\n",
    head(b"Content-Length: 0") + b"\0", OK + OK,
])
def test_answers_that_are_refused(data):
    assert judge(data) == "bad"


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 23])
def test_every_byte_at_every_place_of_a_value(size):
    for code in range(256):
        for at in range(size):
            value = bytearray(b"v" * size)
            value[at] = code
            data = OK.replace(b"text/json", bytes(value))
            reader = AnswerReader()
            if code == 10 or (code < 32 and code != 9) or code == 127:
                with pytest.raises(BadAnswer):
                    reader.feed(data)
            else:
                assert reader.feed(data) and reader.status == 200


def test_limits():
    def line(size):
        return b"X: " + b"y" * (size - 4)       # and the CR

    for size, more in ((MAX_LINE, False), (MAX_LINE + 1, True)):
        data = head(line(size), b"Content-Length: 0")
        assert (modelled(data) == "bad") is (fed([data]) == "bad") is more
        assert fed([data[:20 + size]]) == modelled(data[:20 + size])
    many = head(*[line(1000)] * 40, b"Content-Length: 0")
    assert len(many) > MAX_HEAD
    assert modelled(many) == fed([many]) == fed([many[:33_000]]) == "bad"
    piece = b"1000\r\n" + b"z" * 4096 + b"\r\n"
    long = head(b"Transfer-Encoding: chunked") + piece * 255
    assert fed([long]) == "more"
    assert fed([long, b"0\r\n\r\n"])[1] == b"z" * 4096 * 255
    assert fed([long, piece, b"0\r\n\r\n"]) == "bad"
    assert fed([b"x" * (MAX_ANSWER + 1)]) == "bad"


def test_a_reader_is_used_again():
    reader = AnswerReader()
    assert reader.feed(head(b"Connection: close", b"Keep-Alive: timeout=9",
                            b"Content-Length: 500000") + b"a" * 500_000)
    first = reader.body
    reader.reset()
    assert (reader.status, reader.body, reader.keep_alive, reader.keep_alive_s) == (
        0, None, True, -1)
    assert reader.feed(CHUNKED)
    assert (reader.body, reader.keep_alive) == (b'{"success": true}', True)
    assert first == b"a" * 500_000
    with pytest.raises(BadAnswer, match="behind"):
        reader.feed(b"HTTP")
    assert reader.body is None
    reader.reset()
    assert reader.feed(OK)


def test_misuse():
    reader = AnswerReader()
    for value in (None, "text", bytearray(b"x")):
        with pytest.raises(TypeError):
            reader.feed(value)
    assert reader.feed(b"") is False
    with pytest.raises(TypeError):
        pickle.dumps(reader)


class Socket:
    def __init__(self, data):
        self.data = data

    def makefile(self, mode):
        return io.BytesIO(self.data)


@pytest.mark.parametrize("data", [OK, CHUNKED, head(b"Content-Length: 2") + b"{}"])
def test_the_standard_library_reads_the_same(data):
    answer = http.client.HTTPResponse(Socket(data))
    answer.begin()
    assert (answer.status, answer.read()) == fed([data])[:2]


WORDS = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 ", b"Content-Length: 3\r\n", b"Content-Length: ", b"0",
         b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"\r\n", b"\n", b"\r", b":",
         b" ", b"3\r\n", b"abc", b"abc\r\n", b"0\r\n\r\n", b"Keep-Alive: timeout=7\r\n", b"\x00",
         b"Content-Encoding: gzip\r\n", b"X-Y: z\r\n", b"\xff", b"1", b"a"]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=12), st.booleans())
def test_any_bytes_as_the_model_says(words, starts_well):
    judge((b"HTTP/1.1 200 OK\r\n" if starts_well else b"") + b"".join(words))
