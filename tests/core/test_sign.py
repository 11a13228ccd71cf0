"""core/sign against the vectors and the standard library."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core.sign import Signer, canonical_query
from mexcfast.errors import ConfigError, IntentError
from models import hmac_model

DATA = Path(__file__).parents[1] / "data" / "signing.jsonl"
VECTORS = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
NOW = 1_761_888_808_839
SECRET = "mexcfast-demo-secret-0001"

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.integers(10**12, 10**13 - 1)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_vector(vector):
    signer = Signer(vector["access_key"], vector["secret"])
    payload = canonical_query(vector["params"]) if "params" in vector else vector["body"]
    assert payload == vector["param_string"]
    now = int(vector["timestamp"])
    assert signer.sign(now, payload) == vector["signature"]
    assert signer.sign(now, payload.encode()) == vector["signature"]


@settings(deadline=None)
@given(key=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
       secret=texts.filter(lambda s: s and s == s.strip()), now=times, payload=st.binary())
def test_agrees_with_the_standard_library(key, secret, now, payload):
    signer = Signer(key, secret)
    assert signer.sign(now, payload) == hmac_model.signature(key, secret, now, payload)
    assert signer.sign(now, payload) == signer.sign(now, payload), "signing changes no state"


@pytest.mark.parametrize("size", [1, 63, 64, 65, 127, 128, 1000])
def test_secret_length_boundaries(size):
    secret = "k" * size
    assert Signer("mx", secret).sign(NOW, b"x") == hmac_model.signature("mx", secret, NOW, b"x")


@pytest.mark.parametrize("key_size", [1, 17, 50, 51, 52, 63, 64, 65, 127, 128, 129, 200])
def test_every_length_of_target(key_size):
    """Whole and broken blocks of the hash, and every place where its padding may fall."""
    key = "k" * key_size
    signer = Signer(key, SECRET)
    for size in range(0, 270):
        payload = bytes(i & 255 for i in range(size))
        assert signer.sign(NOW, payload) == hmac_model.signature(key, SECRET, NOW, payload), size


@pytest.mark.parametrize("now", [10**12, 10**13 - 1, 1_000_000_000_001, 1_234_567_890_123,
                                 9_000_000_000_000, 1_999_999_999_999, 1_000_099_999_999])
def test_every_digit_of_the_time(now):
    assert Signer("mx", SECRET).sign(now) == hmac_model.signature("mx", SECRET, now)


values = st.one_of(st.none(), texts, st.booleans(), st.integers(),
                   st.floats(allow_nan=False, allow_infinity=False),
                   st.decimals(allow_nan=False, allow_infinity=False))
names = st.text("abcXYZ019_.-", min_size=1)


@settings(deadline=None)
@given(st.dictionaries(names, st.one_of(
    values, st.lists(values.filter(lambda v: v is not None)))))
def test_query_agrees_with_the_model(params):
    assert canonical_query(params) == hmac_model.query(params)


def test_query_numbers_have_no_exponent():
    assert canonical_query({"a": 1e-8, "b": Decimal("1E+3"), "c": 1e22}) == (
        "a=0.00000001&b=1000&c=10000000000000000000000")


def test_query_writes_enums_as_numbers():
    class State(IntEnum):
        FILLED = 3

    assert canonical_query({"states": [State.FILLED, 4]}) == "states=3%2C4"


@pytest.mark.parametrize("params", [
    {"a": float("nan")}, {"a": float("inf")}, {"a": Decimal("NaN")}, {"a": b"x"}, {"a": {1}},
    {"a": [None]}, {"a": [[1]]}, {"a": "\ud800"}, {1: "a"}, {"": "a"}, {"a&b": 1}, {"a b": 1},
    {"é": 1}, [("a", 1)],
])
def test_query_refuses(params):
    with pytest.raises(IntentError):
        canonical_query(params)


@pytest.mark.parametrize("now", [-1, 0, 1_761_888_808, NOW * 1000, NOW * 1_000_000, 2**63, 10**30,
                                 float(NOW), str(NOW), True, None])
def test_absurd_times_are_refused(now):
    signer = Signer("mx", SECRET)
    with pytest.raises(IntentError, match="timestamp_ms"):
        signer.sign(now)
    with pytest.raises(IntentError, match="timestamp_ms"):
        signer.login(now)


@pytest.mark.parametrize("payload", [None, 1, bytearray(b"x"), "\udcff"])
def test_payload_is_bytes_or_text(payload):
    with pytest.raises(IntentError, match="payload"):
        Signer("mx", SECRET).sign(NOW, payload)


def test_login_frame():
    signer = Signer("mxU1TzSmRDW1o5AsE", SECRET)
    plain = (b'{"method":"login","param":{"apiKey":"mxU1TzSmRDW1o5AsE","reqTime":"1611038237237",'
             b'"signature":"9754128c1615beefaa1da88e99a9ecadbc52101f72c32aea66058581023c249f"}}')
    assert signer.login(1611038237237) == plain
    assert signer.login(1611038237237, subscribe=False) == b'{"subscribe":false,' + plain[1:]
    assert json.loads(signer.login(NOW, False))["subscribe"] is False


def test_login_frame_is_json_for_any_key():
    key = 'a"b\\c'
    frame = json.loads(Signer(key, SECRET).login(NOW))
    assert frame["param"] == {"apiKey": key, "reqTime": str(NOW),
                              "signature": hmac_model.signature(key, SECRET, NOW)}


@pytest.mark.parametrize(("key", "secret", "names"), [
    ("", "hidden-value", "access_key"), (None, "hidden-value", "access_key"),
    (b"mx", "hidden-value", "access_key"), ("a b", "hidden-value", "access_key"),
    ("a\r\nX: y", "hidden-value", "access_key"), ("é", "hidden-value", "access_key"),
    ("mx", "", "secret"), ("mx", None, "secret"), ("mx", b"hidden-value", "secret"),
    ("mx", "hidden-value\n", "secret"), ("mx", "hidden-value\ud800", "secret"),
])
def test_bad_keys_are_named_and_not_shown(key, secret, names):
    with pytest.raises(ConfigError, match=names) as caught:
        Signer(key, secret)
    error = caught.value
    seen = repr(error) + str(error) + repr(error.__cause__) + repr(error.__context__)
    assert "hidden-value" not in seen
    assert error.__context__ is None


def test_shows_and_gives_away_nothing():
    signer = Signer("mxU1TzSmRDW1o5AsE", SECRET)
    assert signer.access_key == "mxU1TzSmRDW1o5AsE"
    for text in (repr(signer), str(signer), f"{signer}"):
        assert "mxU" not in text
        assert SECRET not in text
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps, lambda s: s.__getstate__(),
                    lambda s: s.__reduce_ex__(4)):
        try:
            given_away = attempt(signer)
        except TypeError:
            continue
        assert given_away is None, "object.__getstate__ has nothing to tell"
    with pytest.raises(AttributeError):
        signer.access_key = "x"
    with pytest.raises(AttributeError):
        signer.other = "x"
