"""core/events: every vector gives the right class, the same dict and the same members."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core import events
from mexcfast.core.channels import CHANNELS, Channel, snake
from mexcfast.core.events import Event, parse_frame
from mexcfast.errors import FrameError
from models import json_model as model
from models.json_model import Number, Pairs, same

VECTORS = model.vectors("server->client")
BY_NAME = {vector["name"]: vector["text"] for vector in VECTORS}
by_name = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


def expected_member(value, kind: str):
    """What a member of this kind reads when the venue sent value (with Number leaves)."""
    if value is None or (value == "" and kind in ("dec", "int")):
        return None
    if kind == "dec":
        return float(value)
    if kind == "int":
        return int(Decimal(value))
    if kind == "str":
        return str(value)
    if kind == "bool":
        return value if isinstance(value, bool) else Decimal(value) == 1
    return json.loads(model.write(value, random.Random(0)))


def check_members(record, sent: Pairs, row: Channel) -> None:
    """Each attribute of a record against the object it was read from."""
    names: dict[str, list[tuple[str, str]]] = {}
    for field in row.fields:
        names.setdefault(field.name, []).append((field.venue_name, field.kind))
    for name, sources in names.items():
        wanted, text = None, None
        for venue_name, kind in sources:
            value = sent.last(venue_name)
            if value is not None:
                wanted, text = expected_member(value, kind), value
                break
        if name == "symbol" and isinstance(record, Event):
            continue
        if row.name in model.DEPTHS and name in ("begin", "end"):
            continue
        got = getattr(record, name)
        assert type(got) is type(wanted) and got == wanted, f"{name}: {got!r} for {text!r}"
        if sources[0][1] in ("dec", "int"):
            exact = record.decimal(name)
            if wanted is None:
                assert exact is None
            else:
                assert exact == Decimal(text) and str(exact) == str(Decimal(text))


def levels(side) -> list[tuple[float, float, int]]:
    return [(float(level[0]), float(level[1]),
             int(Decimal(level[2])) if len(level) > 2 and level[2] is not None else -1)
            for level in side or []]


def check_event(text: str | bytes, plain: str | None = None) -> Event:
    """The event of a frame, everything in it compared with the standard library's reading."""
    event = parse_frame(text, 1234567890123456789)
    frame = model.exact(plain or text)
    row = model.channel_of(frame)
    assert row is not None
    assert type(event).__name__ == row.event
    assert same(event.to_dict(), json.loads(plain or text))
    assert same(event.data, json.loads(plain or text).get("data"))
    assert event.channel == frame.last("channel")
    assert event.ts_recv_ns == 1234567890123456789
    ts = frame.last("ts")
    assert event.ts_venue_ms == (None if ts is None else int(Decimal(ts)))
    objects = model.objects_of(frame.last("data"))
    inner = objects[0].last("symbol") if isinstance(frame.last("data"), Pairs) else None
    assert event.symbol == (frame.last("symbol") or inner)
    if row.record:
        records = event.deals if row.name == "push.deal" else event.tickers
        assert len(records) == len(objects)
        for record, sent in zip(records, objects, strict=True):
            assert type(record).__name__ == row.record
            check_members(record, sent, row)
    elif row.name not in ("rs.", "rs.error"):
        check_members(event, objects[0] if objects else Pairs(), row)
    if row.name in model.DEPTHS:
        data = frame.last("data")
        end = int(Decimal(data.last("end") or data.last("version")))
        assert event.end == end
        assert event.begin == int(Decimal(data.last("begin") or end))
        assert event.asks == levels(data.last("asks"))
        assert event.bids == levels(data.last("bids"))
    if row.name == "pong":
        assert event.ts_server_ms == int(Decimal(frame.last("data")))
    assert repr(event).startswith(f"<{row.event} ")
    return event


@by_name
def test_vector(vector):
    check_event(vector["text"])
    check_event(vector["text"].encode())
    check_event(model.packed(vector["text"]), vector["text"])


@by_name
def test_vector_spelled_otherwise(vector):
    rng = random.Random(vector["name"])
    frame = model.exact(vector["text"])
    for number in range(40):
        check_event(model.write(frame, rng, spaces=number & 1 > 0, shuffle=number & 2 > 0,
                                escapes=number & 4 > 0, exponents=number & 8 > 0))


def varied(frame: Pairs, rng: random.Random) -> Pairs:
    """The same news in another of the venue's shapes (protocol.md 18.3)."""
    row = model.channel_of(frame)
    kinds = {field.venue_name: field.kind for field in row.fields}
    out = Pairs()
    extra = [("added", Number("1")), ("addedLater", [Number("1"), None, Pairs([("a", "b")])])]

    def member(name, value):
        if kinds.get(name) in ("dec", "int") and rng.random() < 0.4:
            return model.quoted(value)
        if rng.random() < 0.1:
            return None
        return value

    def level(each):
        each = each[:2] if rng.random() < 0.3 else each
        return [model.quoted(part) if rng.random() < 0.3 else part for part in each]

    def one(each):
        pairs = Pairs()
        for name, value in each:
            if name in ("asks", "bids"):
                value = [level(part) for part in value]
            elif name in ("version", "begin", "end") and row.name in model.DEPTHS:
                value = model.quoted(value) if rng.random() < 0.4 else value
            else:
                value = member(name, value)
            pairs.append((name, value))
        return Pairs([*pairs, *rng.choice([[], extra])])

    for name, value in frame:
        if name == "data" and isinstance(value, Pairs):
            value = one(value)
            if row.name == "push.deal" and rng.random() < 0.5:
                value = [value]
        elif name == "data" and model.objects_of(value):
            value = [one(each) for each in value]
            if row.name == "push.deal" and len(value) == 1 and rng.random() < 0.5:
                value = value[0]
        elif name == "ts":
            shape = rng.randrange(4)
            if shape == 0:
                continue
            value = str(value) if shape == 1 else Number(value) if shape == 2 else None
        out.append((name, value))
    return Pairs([*out, *rng.choice([[], extra])])


@by_name
def test_vector_in_the_venues_other_shapes(vector):
    rng = random.Random(vector["name"] + "shapes")
    frame = model.exact(vector["text"])
    for _ in range(60):
        check_event(model.write(varied(frame, rng), rng, shuffle=True, spaces=rng.random() < 0.5,
                                exponents=rng.random() < 0.3))


@given(st.integers(2**53, 2**63 - 1), st.booleans())
@settings(max_examples=50)
def test_ids_beyond_a_double(number, as_text):
    shown = f'"{number}"' if as_text else str(number)
    event = parse_frame('{"channel":"push.personal.order","data":{"orderId":' + shown
                        + ',"externalOid":' + shown + "}}")
    assert event.order_id == number
    assert event.client_order_id == str(number)
    assert event.to_dict()["data"]["orderId"] == (str(number) if as_text else number)
    assert event.decimal("order_id") == number


@pytest.mark.parametrize("text", [
    "97284530.448634083318792525314410007362", '"97284530.448634083318792525314410007362"',
    "233.740269343644737245", "6.106243567181E7", "6.3e-05", '"109777.500000000000000000"', "-0",
    "0.000000000000000000000000000000000000001", "123456789012345678901234567890",
])
def test_decimals_keep_every_digit(text):
    name = next(field.name for field in model.ROWS["push.personal.position"].fields
                if field.venue_name == "holdAvgPrice")
    event = parse_frame('{"channel":"push.personal.position","data":{"holdAvgPrice":' + text + "}}")
    assert getattr(event, name) == float(text.strip('"'))
    assert str(event.decimal(name)) == str(Decimal(text.strip('"')))
    assert event.to_dict()["data"]["holdAvgPrice"] == json.loads(text)


def test_two_names_for_one_member():
    frame = '{"channel":"push.personal.order.deal","data":{%s}}'
    assert parse_frame(frame % '"taker":true').is_taker is True
    assert parse_frame(frame % '"isTaker":false').is_taker is False
    assert parse_frame(frame % '"isTaker":null,"taker":true').is_taker is True
    assert parse_frame(frame % '"taker":true,"isTaker":null').is_taker is True
    assert parse_frame(frame % "").is_taker is None
    rate = '{"channel":"push.funding.rate","data":{%s}}'
    assert parse_frame(rate % '"fundingRate":0.5').rate == 0.5
    assert parse_frame(rate % '"rate":0.25,"fundingRate":0.5').rate == 0.25
    assert parse_frame(rate % '"rate":null,"fundingRate":0.5').decimal("rate") == Decimal("0.5")


@pytest.mark.parametrize("text, success, code, message", [
    ('{"channel":"rs.login","data":"success"}', True, None, "success"),
    ('{"channel":"rs.login","data":{"code":0}}', True, 0, ""),
    ('{"channel":"rs.login","data":{"code":"0"}}', True, 0, ""),
    ('{"channel":"rs.login"}', True, None, ""),
    ('{"channel":"rs.login","data":null}', True, None, ""),
    ('{"channel":"rs.login","param":{"apiKey":"x"}}', True, None, ""),
    ('{"channel":"rs.login","code":0}', True, 0, ""),
    ('{"channel":"rs.login","data":"failed"}', False, None, "failed"),
    ('{"channel":"rs.login","data":{"code":401,"msg":"denied"}}', False, 401, "denied"),
    ('{"channel":"rs.login","code":401,"msg":"denied"}', False, 401, "denied"),
    ('{"channel":"rs.login","code":"401","data":"success"}', False, 401, "success"),
    ('{"channel":"rs.login","data":{"msg":"denied"}}', False, None, "denied"),
    ('{"channel":"rs.login","data":true}', False, None, "True"),
    ('{"channel":"rs.login","data":[]}', False, None, "[]"),
    ('{"channel":"rs.login","data":0}', False, None, "0"),
    ('{"channel":"rs.login","success":false}', False, None, ""),
    ('{"channel":"rs.login","data":{"code":""}}', False, None, ""),
])
def test_acknowledgements(text, success, code, message):
    event = parse_frame(text)
    assert isinstance(event, events.Acknowledgement)
    assert (event.method, event.is_success, event.code, event.message) == (
        "login", success, code, message)


@pytest.mark.parametrize("text, code, message", [
    ('{"channel":"rs.error","data":"Blocked"}', None, "Blocked"),
    ('{"channel":"rs.error","code":600,"data":"Blocked"}', 600, "Blocked"),
    ('{"channel":"rs.error","code":600,"data":{"code":601,"msg":"no"}}', 601, "no"),
    ('{"channel":"rs.error","data":{"message":"no"}}', None, "no"),
    ('{"channel":"rs.error"}', None, ""),
])
def test_request_errors(text, code, message):
    event = parse_frame(text)
    assert isinstance(event, events.RequestError)
    assert (event.code, event.message) == (code, message)


@pytest.mark.parametrize("data, expected", [
    ("1587453241453", 1587453241453), ('"1587453241453"', 1587453241453), ("1.5E12", 1500000000000),
    ("true", None), ('"x"', None), ("null", None), ("{}", None), ("1e400", None), ("[1]", None),
])
def test_pongs(data, expected):
    assert parse_frame('{"channel":"pong","data":' + data + "}").ts_server_ms == expected
    assert parse_frame('{"channel":"pong"}').ts_server_ms is None


def test_what_is_unknown_is_kept_whole():
    for text in (BY_NAME["push_unknown_channel"], BY_NAME["client_id_frame"], '{"a": 1}',
                 BY_NAME["unknown_personal_channel"], '{"channel":"x","symbol":5,"ts":"never"}'):
        event = parse_frame(text)
        assert isinstance(event, events.Unknown)
        assert event.text == text
        assert event.raw == text.encode()
        assert event.to_dict() == json.loads(text)
    assert parse_frame('{"a":1}').channel == ""
    assert parse_frame('{"channel":"x","symbol":"\\u0041"}').symbol == "A"


def test_events_own_what_they_show():
    """The next frame reuses the reader's buffers; an event is not touched by it."""
    kept = [(parse_frame(vector["text"]), vector["text"]) for vector in VECTORS]
    for event, text in kept:
        assert same(event.to_dict(), json.loads(text))
    deals = parse_frame(BY_NAME["push_deal_list_docs2026"]).deals
    assert [deal.trade_id for deal in deals] == [13064218826, 13064218827]
    assert deals[0].price == 115309.8


def test_events_are_read_only():
    event = parse_frame(BY_NAME["order_new"])
    for name in ("price", "symbol", "channel", "raw", "ts_venue_ms", "nothing"):
        with pytest.raises(AttributeError):
            setattr(event, name, 1)
    with pytest.raises(AttributeError, match="price of an event is read-only"):
        event.price = 2


@pytest.mark.parametrize("name", ["symbol", "nothing", "reduce_only", "to_dict", "client_order_id"])
def test_decimal_of_what_is_no_number(name):
    with pytest.raises(AttributeError, match=name):
        parse_frame(BY_NAME["order_new"]).decimal(name)


def test_members_lists_what_was_sent():
    event = parse_frame('{"channel":"push.index.price","data":{"price":5,"symbol":"A"}}')
    assert event.members() == {"price": 5.0}
    assert event.symbol == "A"
    row = parse_frame(BY_NAME["push_tickers_string_numbers"]).tickers[0]
    assert row.members() == {"symbol": "AAA_USDT", "last_price": 1.25, "volume24": 10.0,
                             "ts_event_ms": 1790870034312}
    assert "AAA_USDT" in repr(row)


def test_a_class_without_an_instance():
    assert events.OrderUpdate.price.venue_name == "price"
    for make in (events.OrderUpdate, events.Deal, events.Depth):
        blank = make()
        repr(blank)
        for name in dir(blank):
            if not name.startswith("_"):
                try:
                    got = getattr(blank, name)
                    if callable(got) and name != "decimal":
                        got()
                except (AttributeError, TypeError, ValueError):
                    pass


def test_the_table_of_channels():
    assert len({row.name for row in CHANNELS}) == len(CHANNELS)
    assert len({row.event for row in CHANNELS}) == len(CHANNELS)
    for row in CHANNELS:
        cls = getattr(events, row.event)
        assert issubclass(cls, Event) and cls.__doc__
        aliases = {("is_taker",), ("rate",)}
        names = [field.name for field in row.fields]
        repeated = {(name,) for name in names if names.count(name) > 1}
        assert repeated <= aliases, f"{row.name}: {repeated}"
        venue = [field.venue_name for field in row.fields]
        assert len(set(venue)) == len(venue)
        for name in names:
            assert name.isidentifier() and name == name.lower(), name
            assert hasattr(getattr(events, row.record or row.event), name)


@pytest.mark.parametrize("venue_name, ours", [
    ("riseFallRatesOfTimezone", "rise_fall_rates_of_timezone"), ("high24Price", "high24_price"),
    ("volume24", "volume24"), ("p", "p"),
    ("zeroSaveTotalFeeBinance", "zero_save_total_fee_binance"),
])
def test_snake(venue_name, ours):
    assert snake(venue_name) == ours


def test_a_field_of_an_unknown_kind():
    from mexcfast.core.channels import _fields
    with pytest.raises(ValueError, match="bolo"):
        _fields("a:bolo")


def test_a_refused_frame_leaves_no_trace():
    """A frame refused half-way does not shine through in the next one."""
    for vector in VECTORS:
        text = vector["text"]
        for size in (len(text) // 3, len(text) - 1):
            with pytest.raises(FrameError):
                parse_frame(text[:size])
            assert parse_frame('{"channel":"pong"}').to_dict() == {"channel": "pong"}
            check_event(text)
