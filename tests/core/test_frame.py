"""core/scan and core/frame: any bytes parse or raise FrameError, never against json's reading."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mexcfast.core.events import parse_frame
from mexcfast.core.frame import KEY_IDS, MAX_INFLATED, NAMED_KEYS, NAMED_TAGS
from mexcfast.errors import FrameError
from models import json_model as model
from models.json_model import same

VECTORS = model.vectors("server->client")
TEXTS = [vector["text"].encode() for vector in VECTORS]
BY_NAME = {vector["name"]: vector["text"] for vector in VECTORS}


def check(text: bytes) -> bool:
    """Whether ours takes the text; agreement with the model is asserted either way."""
    allowed = model.refusals(text)
    try:
        event = parse_frame(text)
    except FrameError as fault:
        assert allowed, f"refused for no reason on the list: {fault}"
        assert len(str(fault)) < 360, "a message holds at most 40 bytes of the frame"
        return False
    assert not allowed, f"taken although {allowed}"
    assert same(event.to_dict(), json.loads(text))
    return True


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector):
    assert check(vector["text"].encode())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector_cut_at_every_offset(vector):
    text = vector["text"].encode()
    for size in range(len(text)):
        with pytest.raises(FrameError, match="at byte"):
            parse_frame(text[:size])


@pytest.mark.parametrize("name", ["push_depth_2026_range", "push_deal_list_live", "bonus"])
def test_gzip_cut_or_padded(name):
    packed = model.packed(BY_NAME[name])
    assert same(parse_frame(packed).to_dict(), json.loads(BY_NAME[name]))
    for size in range(len(packed)):
        with pytest.raises(FrameError):
            parse_frame(packed[:size])
    with pytest.raises(FrameError, match="padded"):
        parse_frame(packed + b"\0")
    with pytest.raises(FrameError, match="gzip"):
        parse_frame(packed[:12] + bytes([packed[12] ^ 0xFF]) + packed[13:])


def test_gzip_that_grows_too_far():
    with pytest.raises(FrameError, match=str(MAX_INFLATED)):
        parse_frame(model.packed('{"a":"' + "x" * MAX_INFLATED + '"}'))


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes(text):
    check(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(NAMED_KEYS) | st.sampled_from(["p", "v", "symbol"]) | st.text(max_size=3),
        inner, max_size=4), max_leaves=20)


@given(json_values)
@settings(max_examples=200)
def test_any_json(value):
    check(json.dumps(value).encode())


@given(json_values, st.sampled_from(sorted(model.ROWS)), st.data())
@settings(max_examples=200)
def test_any_data_on_any_channel(value, channel, data):
    names = [f.venue_name for f in model.ROWS[channel].fields] or ["x"]
    value = data.draw(st.one_of(
        st.just(value), st.dictionaries(st.sampled_from(names), json_values, max_size=5)))
    check(json.dumps({"channel": channel, "data": value, "symbol": "A", "ts": 1}).encode())


def mutate(text: bytes, rng: random.Random) -> bytes:
    """A few bit flips, deletions, insertions and copies."""
    out = bytearray(text)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(out))
        kind = rng.randrange(5)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at:at + rng.choice([1, 1, 4])]
        elif kind == 2:
            out[at:at] = rng.choice([b"0", b"e", b"-", b".", b'"', b"\\", b"[", b"}", b",", b":",
                                     b"\xff", b"\xed\xa0\x80", b"\0", b"null", b"1e9", b" "])
        elif kind == 3:
            out[at] = rng.choice(b'0123456789eE.-+"\\{}[],: truefalsn\x80\xe2')
        else:
            end = at + rng.randrange(1, 30)
            out[at:at] = out[at:end]
        if not out:
            return b""
    return bytes(out)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_mutated_vector(vector):
    rng = random.Random(vector["name"])
    text = vector["text"].encode()
    for _ in range(250):
        changed = mutate(text, rng)
        try:
            check(changed)
        except AssertionError as fault:
            raise AssertionError(f"{changed!r}: {fault}") from fault


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_bit_of_the_first_hundred_bytes(vector):
    text = vector["text"].encode()
    for at in range(0, min(len(text), 100)):
        for bit in range(8):
            check(text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1:])


@pytest.mark.parametrize("text", [
    b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"a"', b"{}x", b"{}{}", b'{"a"}', b'{"a":}',
    b'{"a":1,}', b'{,"a":1}', b'{"a":1 "b":2}', b"{'a':1}", b'{"a":[1,]}', b'{"a":[,1]}',
    b'{"a":01}', b'{"a":1.}', b'{"a":.1}', b'{"a":1e}', b'{"a":+1}', b'{"a":-}', b'{"a":tru}',
    b'{"a":True}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":"\n"}',
    b'{"a":"\\x"}', b'{"a":"\\u12g4"}', b'{"a":"\\u12', b'{"a":"\x80"}', b'{"a":"\xc0\xaf"}',
    b'{"a":"\xed\xa0\x80"}', b'{"a":"\xf5\x80\x80\x80"}', b'{"a":"\xe2\x82"}', b'\xef\xbb\xbf{}',
    '{"a":1}'.encode("utf-16"), b"\0", b"{}\0", b"\x1f", b"\x1f\x8b", b"/* c */{}",
    b"<html><body>403</body></html>", b'{"a":"\x1f"}', b'{"a":{"b":[}]}',
])
def test_what_is_no_object_of_json(text):
    assert not check(text)


@pytest.mark.parametrize("text", [
    b"{}", b' {"a" : [ ] } \r\n', b'{"":{}}', b'{"a":"\x7f"}', b'{"a":"\\ud800"}',
    b'{"a":"\\ud83d\\ude00\\/"}', '{"ключ":"永续😀"}'.encode(), b'{"a":1e400}', b'{"a":-0}',
    b'{"a":-0.0}', b'{"a":1E-999}', b'{"a":123456789012345678901234567890}',
    b'{"a":0.1234567890123456789012345678901234567890123}', b'{"a":1,"a":2}',
    b'{"channel":"new","channel":"pong","data":1,"data":2}',
    b'{"\\u0063hannel":"\\u0070ong","d\\u0061ta":5}', b'{"channel":""}', b'{"channel":"rs."}',
    b'{"data":[1,2,{"a":3}]}', b'{"data":[{"a":1},2]}', b'{"data":[[]]}', b'{"data":""}',
    b'{"a":' + b"9" * 4300 + b"}",
])
def test_what_is_an_object_of_json(text):
    assert check(text)


@pytest.mark.parametrize("place", ["a", "data", "asks", "channel-less data", "levels", "rows"])
@pytest.mark.parametrize("depth", range(58, 68))
def test_depth_is_limited_to_64(place, depth):
    text = {
        "a": lambda n: '{"a":' + "[" * (n - 1) + "]" * (n - 1) + "}",
        "data": lambda n: '{"channel":"x","data":{"k":' + "[" * (n - 2) + "]" * (n - 2) + "}}",
        "asks": lambda n: '{"data":{"asks":' + "[" * (n - 2) + "]" * (n - 2) + "}}",
        "channel-less data": lambda n: '{"data":' + "[" * (n - 1) + "]" * (n - 1) + "}",
        "levels": lambda n: '{"channel":"push.depth","symbol":"A","data":{"version":1,"asks":'
                            '[[1,2,3,' + "[" * (n - 4) + "]" * (n - 4) + ']],"bids":[]}}',
        "rows": lambda n: '{"data":[{"k":' + "[" * (n - 3) + "]" * (n - 3) + "}]}",
    }[place](depth).encode()
    assert model.depth_of(model.exact(text)) == depth
    assert check(text) is (depth <= 64)


def test_ten_thousand_brackets_are_no_crash():
    for opening in ("[", '{"a":', "[[[{\"data\":"):
        with pytest.raises(FrameError, match=r"64 levels|object was expected"):
            parse_frame('{"a":' + opening * 10_000)


def test_integers_longer_than_python_reads():
    assert check(b'{"a":' + b"9" * 4300 + b"}")
    with pytest.raises(FrameError, match="4300"):
        parse_frame(b'{"a":' + b"9" * 4301 + b"}")
    assert check(b'{"a":' + b"9" * 5000 + b'.5}')


DEPTH = '{"channel":"push.depth","symbol":"A_B","data":%s,"ts":1}'


@pytest.mark.parametrize("data, member", [
    ('{"asks":[["x",1]],"bids":[],"version":1}', "asks"),
    ('{"asks":[],"bids":[[0,1]],"version":1}', "bids"),
    ('{"asks":[[-1,1]],"bids":[],"version":1}', "asks"),
    ('{"asks":[[1,-1]],"bids":[],"version":1}', "asks"),
    ('{"asks":[[1]],"bids":[],"version":1}', "asks"),
    ('{"asks":[[]],"bids":[],"version":1}', "asks"),
    ('{"asks":[1],"bids":[],"version":1}', "asks"),
    ('{"asks":[{}],"bids":[],"version":1}', "asks"),
    ('{"asks":[[1,2,-1]],"bids":[],"version":1}', "asks"),
    ('{"asks":[[1,2,0.5]],"bids":[],"version":1}', "asks"),
    ('{"asks":[[null,2]],"bids":[],"version":1}', "asks"),
    ('{"asks":[[1e-19,2]],"bids":[],"version":1}', "asks"),
    ('{"asks":[[1,9223372036854775808]],"bids":[],"version":1}', "asks"),
    ('{"asks":{},"bids":[],"version":1}', "asks"),
    ('{"asks":[],"bids":"x","version":1}', "bids"),
    ('{"asks":[],"bids":[]}', "version"),
    ('{"asks":[],"bids":[],"version":-1}', "version"),
    ('{"asks":[],"bids":[],"version":1.5}', "version"),
    ('{"asks":[],"bids":[],"version":"x"}', "version"),
    ('{"asks":[],"bids":[],"version":9223372036854775808}', "version"),
    ('{"asks":[],"bids":[],"version":5,"end":6,"begin":5}', "version"),
    ('{"asks":[],"bids":[],"version":5,"end":5,"begin":6}', "begin"),
    ('{"asks":[],"bids":[],"version":5,"end":[]}', "end"),
    ("[]", "data"), ("null", "data"), ('"x"', "data"), ("1", "data"),
])
def test_a_bad_depth_frame_names_the_member(data, member):
    text = (DEPTH % data).encode()
    assert not check(text)
    with pytest.raises(FrameError, match=rf"^{member}: .*, at byte \d+ of {len(text)}: b"):
        parse_frame(text)


@pytest.mark.parametrize("name, members, value", [
    ("push_deal_list_live", ["p", "v"], '"x"'),
    ("push_deal_list_live", ["T", "O", "M", "t", "i", "cts"], "1.5"),
    ("push_ticker_live", ["lastPrice", "fundingRate"], "[]"),
    ("push_ticker_live", ["lastPrice"], "1e201"),
    ("push_ticker_live", ["zone"], "true"),
    ("order_new", ["orderId", "version", "state"], '"0x1"'),
    ("order_new", ["reduceOnly"], '"yes"'),
    ("order_new", ["reduceOnly"], "2"),
    ("order_new", ["externalOid"], "{}"),
    ("order_new", ["price"], "true"),
    ("order_new", ["positionId"], "9223372036854775808"),
])
def test_a_bad_member_is_named(name, members, value):
    frame = model.exact(BY_NAME[name])
    for member in members:
        text = BY_NAME[name]
        old = next(row for row in model.objects_of(frame.last("data"))).last(member)
        pattern = re.compile(rf'"{member}":("?){re.escape(json.dumps(old).strip(chr(34)))}("?)')
        changed, count = pattern.subn(lambda _, m=member: f'"{m}":{value}', text, count=1)
        assert count == 1
        assert not check(changed.encode())
        with pytest.raises(FrameError, match=rf"^{member}: "):
            parse_frame(changed)


@pytest.mark.parametrize("text, member", [
    ('{"channel":1}', "channel"), ('{"channel":null}', "channel"), ('{"channel":{}}', "channel"),
    ('{"channel":"pong","ts":1.5}', "ts"), ('{"channel":"pong","ts":-1}', "ts"),
    ('{"channel":"pong","ts":""}', "ts"), ('{"channel":"pong","ts":true}', "ts"),
    ('{"channel":"push.deal","symbol":5}', "symbol"),
    ('{"channel":"push.deal","symbol":"' + "A" * 61 + '"}', "symbol"),
    ('{"channel":"push.deal","symbol":"\\ud800"}', "symbol"),
    ('{"channel":"push.depth","data":{"asks":[],"bids":[],"version":1}}', "symbol"),
    ('{"channel":"push.depth","symbol":"","data":{"asks":[],"bids":[],"version":1}}', "symbol"),
    ('{"channel":"push.ticker","data":[{}]}', "data"),
    ('{"channel":"push.ticker","data":"x"}', "data"),
    ('{"channel":"push.deal","data":[1]}', "data"),
    ('{"channel":"push.personal.order","data":[]}', "data"),
])
def test_a_bad_envelope_names_the_member(text, member):
    assert not check(text.encode())
    with pytest.raises(FrameError, match=rf"^{member}: "):
        parse_frame(text)


def test_messages_hold_little_of_the_frame():
    secret = "s3cr3t" * 200
    for text in ('{"channel":"' + secret + '"', '{"channel":"pong","ts":"' + secret + '"}',
                 '{"' + secret + '":x}', '{"channel":"push.deal","symbol":"' + secret + '"}',
                 '{"channel":"push.deal","data":{"p":"' + secret + '"}}'):
        with pytest.raises(FrameError) as caught:
            parse_frame(text)
        assert str(caught.value).count("s3cr3t") <= 7
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in "zeroTradeTotalFeeBinance")
    with pytest.raises(FrameError) as caught:
        parse_frame('{"channel":"push.personal.order","data":{"' + escaped + '":[]}}')
    assert len(str(caught.value)) < 200


def test_repeated_members_take_the_last():
    event = parse_frame('{"channel":"push.depth","symbol":"A","data":{"asks":[[1,1]],"asks":null,'
                        '"bids":[[1,1],[2,2]],"bids":[[3,3]],"version":1,"version":2}}')
    assert (event.asks, event.bids, event.end) == ([], [(3.0, 3.0, -1)], 2)
    event = parse_frame('{"channel":"push.depth","symbol":"A","asks":[[7,7]],'
                        '"data":{"asks":[[1,1]],"bids":[],"version":1},"asks":[[8,8]]}')
    assert event.asks == [(1.0, 1.0, -1)]
    event = parse_frame('{"channel":"push.depth","symbol":"A","data":{"asks":[["x"]],"version":0},'
                        '"data":{"asks":[],"bids":[],"version":3}}')
    assert (event.asks, event.end) == ([], 3)


@given(st.integers(1, 60), st.integers(0, 5))
@example(60, 0)
def test_symbols_up_to_60_bytes(size, wide):
    symbol = "永" * min(wide, size // 3) + "A" * (size - 3 * min(wide, size // 3))
    text = json.dumps({"channel": "push.deal", "symbol": symbol, "data": []})
    assert parse_frame(text).symbol == symbol
    plain = json.dumps({"channel": "push.deal", "symbol": symbol, "data": []}, ensure_ascii=False)
    assert parse_frame(plain).symbol == symbol
    escaped = '{"channel":"push.deal","data":[],"symbol":"' + "".join(
        f"\\u{ord(letter):04x}" for letter in symbol) + '"}'
    assert parse_frame(escaped).symbol == symbol


@pytest.mark.parametrize("make", [
    bytes, bytearray, memoryview, lambda b: b.decode(), lambda b: memoryview(b + b" ")[:-1],
    lambda b: memoryview(b"".join(bytes([x, 0]) for x in b))[::2],
])
def test_any_buffer(make):
    text = BY_NAME["push_depth_2026_range"].encode()
    assert same(parse_frame(make(text)).to_dict(), json.loads(text))


@pytest.mark.parametrize("thing", [None, 5, 1.5, ["a"], {"channel": "pong"}, object()])
def test_what_is_no_buffer(thing):
    with pytest.raises(TypeError, match="bytes-like or str"):
        parse_frame(thing)


def test_text_that_has_no_bytes():
    with pytest.raises(FrameError, match="surrogate"):
        parse_frame('{"a":"\ud800"}')


def test_a_frame_of_five_thousand_levels_and_a_thousand_rows():
    levels = [[n + 1, n, n] for n in range(5000)]
    frame = {"channel": "push.depth", "symbol": "A", "ts": 1,
             "data": {"asks": levels, "bids": levels, "version": 9}}
    assert check(json.dumps(frame).encode())
    assert parse_frame(json.dumps(frame)).asks[-1] == (5000.0, 4999.0, 4999)
    rows = [{"symbol": f"S{n}", "lastPrice": n, "extra": {"n": n}} for n in range(1000)]
    assert check(json.dumps({"channel": "push.tickers", "data": rows}).encode())
    assert check(json.dumps({f"k{n}": n for n in range(1000)}).encode())


def test_the_name_tables_are_whole():
    named = {field.venue_name for row in model.ROWS.values() for field in row.fields}
    assert set(KEY_IDS) == named | set(NAMED_KEYS)
    assert len(set(KEY_IDS.values())) == len(KEY_IDS)
    assert [row for row in model.ROWS][:len(NAMED_TAGS)] == list(NAMED_TAGS)
