"""The control endpoint /sim/…: the same switches over HTTP, loopback only. Prices are strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mexcfast.sim.checks import Params, Refused, decode_json, query_values

if TYPE_CHECKING:
    from mexcfast.sim.server import Exchange

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def control(exchange: Exchange, method: str, path: str, raw_query: str, body: bytes) -> Any:
    """Answer one control request with JSON-ready data; Refused for a bad one."""
    name = path.removeprefix("/sim/").strip("/")
    query = Params(query_values(raw_query))
    try:
        if method == "GET" and name == "state":
            return exchange.state()
        if method == "GET" and name.startswith("book/"):
            return _book(exchange, name.removeprefix("book/"), query.integer("version"))
        if method == "GET" and name == "faults":
            return [one.wire() for one in exchange.faults.log]
        if method == "GET" and name == "requests":
            return [one.wire() for one in exchange.requests]
        if method == "POST":
            decoded = decode_json(body) if body.strip() else {}
            if not isinstance(decoded, dict):
                raise Refused(600, "an object is expected")
            return _change(exchange, name, Params(decoded))
    except (ValueError, TypeError) as error:
        raise Refused(600, str(error)) from error
    raise Refused(404, f"no control {method} {path}", http=404)


def _book(exchange: Exchange, symbol: str, version: int | None) -> Any:
    view = exchange.book(symbol) if version is None else exchange.book_at(symbol, version)
    return {
        "symbol": view.symbol,
        "version": view.version,
        "bids": [[format(price, "f"), quantity, n] for price, quantity, n in view.bids],
        "asks": [[format(price, "f"), quantity, n] for price, quantity, n in view.asks],
    }


def _change(exchange: Exchange, name: str, params: Params) -> Any:
    if name == "trade":
        side = params.need_text("side")
        volume = params.need_integer("volume")
        return {"traded": exchange.trade(params.need_text("symbol"), side, volume)}
    if name == "rate":
        rate = params.decimal("updates_per_second")
        if rate is None:
            raise Refused(600, "updates_per_second is required")
        exchange.updates_per_second = float(rate)
        return {"updates_per_second": rate}
    if name == "step":
        symbol = params.text("symbol")
        return {"versions": exchange.step(params.integer("count") or 1, symbol)}
    if name == "faults":
        return _fault(exchange, params)
    if name == "faults/script":
        if params.boolean("stop"):
            exchange.faults.stop_script()
            return {"script": False}
        kinds = params.values.get("kinds", ["drop", "duplicate", "reorder", "delay", "cut"])
        if not isinstance(kinds, list) or not all(isinstance(one, str) for one in kinds):
            raise Refused(600, "kinds: an array of names is expected")
        every = params.decimal("every")
        exchange.faults.start_script(
            params.need_integer("seed"), 1.0 if every is None else float(every), kinds
        )
        return {"script": True}
    raise Refused(404, f"no control POST {name}", http=404)


def _fault(exchange: Exchange, params: Params) -> Any:
    faults = exchange.faults
    kind = params.need_text("kind")
    count = params.integer("count")
    count = 1 if count is None else count
    channel, symbol = params.text("channel") or "depth", params.text("symbol")
    if kind == "drop":
        faults.drop(channel, symbol, count)
    elif kind == "duplicate":
        faults.duplicate(channel, symbol, count)
    elif kind == "reorder":
        faults.reorder(channel, symbol, count)
    elif kind == "delay":
        seconds = params.decimal("seconds")
        faults.delay(channel, symbol, count, 0.3 if seconds is None else float(seconds))
    elif kind == "cut":
        return {"cut": faults.cut(symbol)}
    elif kind == "snapshot_lag":
        faults.snapshot_lag(params.need_text("symbol"), params.need_integer("versions"), count)
    elif kind == "short_commits":
        faults.short_commits(params.need_text("symbol"), count)
    elif kind == "http_status":
        faults.http_status(
            params.need_text("path"),
            params.need_integer("status"),
            params.boolean("after_execute"),
            count,
        )
    elif kind == "lose_answer":
        faults.lose_answer(params.need_text("path"), count)
    elif kind == "clear":
        faults.clear()
    else:
        raise Refused(600, f"kind {kind[:40]!r} is unknown")
    return {"accepted": kind}
