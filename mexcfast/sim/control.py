"""The control endpoint /sim/…: the same switches over HTTP, loopback only. Prices are strings.

GET   state  book/<symbol>[?version=]  order/<id>  account[?access_key=]  money
      faults  requests  limits  variations
POST  step  handled  trade  rate  prices  funding  event  account  key  contract
      faults  faults/script  limits  variations
"""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mexcfast.sim import truth
from mexcfast.sim.checks import Params, Refused, decode_json, query_values
from mexcfast.sim.faults import PARAMETERS, SOCKET_KINDS

if TYPE_CHECKING:
    from mexcfast.sim.server import Exchange

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
#: How fault parameters are read; the others are texts.
WHOLE = ("count", "versions", "status", "code", "ms")


async def control(
    exchange: Exchange, method: str, path: str, raw_query: str, body: bytes
) -> Any:
    """Answer one control request with JSON-ready data; Refused for a bad one."""
    name = path.removeprefix("/sim/").strip("/")
    try:
        if method == "GET":
            return _read(exchange, name, Params(query_values(raw_query)))
        if method == "POST":
            decoded = decode_json(body) if body.strip() else {}
            if not isinstance(decoded, dict):
                raise Refused(600, "an object is expected")
            return await _change(exchange, name, Params(decoded))
    except (ValueError, TypeError) as error:
        raise Refused(600, str(error)) from error
    except TimeoutError as error:
        raise Refused(408, "not every client has handled it in time", http=408) from error
    raise Refused(404, f"no control {method} {path}", http=404)


def _read(exchange: Exchange, name: str, query: Params) -> Any:
    if name == "state":
        return exchange.state()
    if name == "open":
        return truth.open_counts(exchange)
    if name.startswith("book/"):
        return _book(exchange, name.removeprefix("book/"), query.integer("version"))
    if name.startswith("order/"):
        return truth.order(exchange, name.removeprefix("order/"))
    if name == "account":
        return truth.account(exchange, query.text("access_key"))
    if name == "money":
        return truth.texts(exchange.venue.money())
    if name == "faults":
        return [one.wire() for one in exchange.faults.log]
    if name == "requests":
        return [one.wire() for one in exchange.requests]
    if name == "limits":
        return _exact(asdict(exchange.limits))
    if name == "variations":
        return _exact(asdict(exchange.variations))
    raise Refused(404, f"no control GET {name}", http=404)


def _exact(values: dict[str, Any]) -> dict[str, Any]:
    """Floats as decimals, which the writer of JSON here wants."""
    return {
        name: Decimal(str(value)) if isinstance(value, float) else
        [Decimal(str(one)) for one in value] if isinstance(value, tuple) else value
        for name, value in values.items()
    }  # fmt: skip


def _book(exchange: Exchange, symbol: str, version: int | None) -> Any:
    view = exchange.book(symbol) if version is None else exchange.book_at(symbol, version)
    return {
        "symbol": view.symbol,
        "version": view.version,
        "bids": [[format(price, "f"), quantity, n] for price, quantity, n in view.bids],
        "asks": [[format(price, "f"), quantity, n] for price, quantity, n in view.asks],
    }


async def _change(exchange: Exchange, name: str, params: Params) -> Any:
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
    if name in ("prices", "funding", "event", "account"):
        return _happening(exchange, name, params)
    if name == "step":
        return {"versions": await _step(exchange, params)}
    if name == "handled":
        exchange.handled()
        return {"handled": True}
    if name == "faults":
        return _fault(exchange, params)
    if name == "faults/script":
        return _script(exchange, params)
    if name == "key":
        return _key(exchange, params)
    if name == "contract":
        allowed = params.boolean("api_allowed") if params.has("api_allowed") else None
        symbol = params.need_text("symbol")
        funding = params.decimal("funding_seconds")
        exchange.change_contract(
            symbol,
            api_allowed=allowed,
            state=params.integer("state"),
            funding_seconds=None if funding is None else float(funding),
        )
        return exchange.venue.markets[symbol].contract.describe()
    if name in ("limits", "variations"):
        plain = {key: _plain(value) for key, value in params.values.items()}
        if name == "limits":
            exchange.change_limits(**plain)
        else:
            exchange.change_variations(**plain)
        return _read(exchange, name, params)
    raise Refused(404, f"no control POST {name}", http=404)


def _happening(exchange: Exchange, name: str, params: Params) -> Any:
    """What else can happen to contracts and accounts."""
    venue = exchange.venue
    if name == "account":
        balance = params.decimal("balance")
        one = exchange.add_account(
            params.need_text("access_key"),
            params.need_text("secret"),
            {params.text("currency") or "USDT": Decimal(0) if balance is None else balance},
            params.text("permissions") or "AOT",
        )
        return {"uid": one.uid}
    market = venue.market(params.need_text("symbol"))
    if name == "prices":
        venue.move_prices(
            market.symbol, fair=params.decimal("fair"), index=params.decimal("index")
        )
        return truth.prices(market)
    if name == "funding":
        rate = params.decimal("rate")
        market.funding_rate = market.funding_rate if rate is None else rate
        venue.settle_funding(market)
        return {"rate": market.funding_rate}
    seconds, rate = params.decimal("seconds"), params.decimal("pay_rate")
    position = venue.events.open(
        truth.owner(exchange, params.text("access_key")),
        market,
        params.need_integer("side"),
        params.decimal("amount") or Decimal(0),
        pay_rate=Decimal("0.85") if rate is None else rate,
        seconds=60.0 if seconds is None else float(seconds),
    )
    return {"positionId": position.id}


def _plain(value: Any) -> Any:
    """Decimals as floats, arrays as tuples: what the settings hold."""
    if isinstance(value, list):
        return tuple(_plain(one) for one in value)
    return float(value) if isinstance(value, Decimal) else value


async def _step(exchange: Exchange, params: Params) -> dict[str, int]:
    count = params.integer("count")
    count = 1 if count is None else count
    symbol, how = params.text("symbol"), params.text("handled")
    if how is None:
        return exchange.step(count, symbol)
    seconds = params.decimal("seconds")
    return await exchange.step_handled(
        count, symbol, handled=how, seconds=5.0 if seconds is None else float(seconds)  # type: ignore[arg-type]
    )


def _key(exchange: Exchange, params: Params) -> Any:
    addresses = params.values.get("addresses")
    if addresses is not None and (
        not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses)
    ):
        raise Refused(600, "addresses: an array of texts is expected")
    exchange.change_key(
        params.text("access_key") or exchange.access_key,
        expired=params.boolean("expired") if params.has("expired") else None,
        addresses=addresses,
        permissions=params.text("permissions"),
        access_denied=params.boolean("access_denied") if params.has("access_denied") else None,
        activated=params.boolean("activated") if params.has("activated") else None,
        restriction=params.integer("restriction"),
    )
    return {"changed": True}


def _script(exchange: Exchange, params: Params) -> Any:
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


def _fault(exchange: Exchange, params: Params) -> Any:
    faults = exchange.faults
    kind = params.need_text("kind")
    if kind == "clear":
        faults.clear()
        return {"accepted": kind}
    values: dict[str, Any] = {}
    for name in params.values:
        if name == "kind" or not params.has(name):
            continue
        if name in WHOLE:
            values[name] = params.need_integer(name)
        elif name == "seconds":
            values[name] = float(params.decimal(name) or 0)
        elif name == "after_execute":
            values[name] = params.boolean(name)
        else:
            values[name] = params.need_text(name)
    try:
        number = faults.inject(kind, values)
    except TypeError:
        raise Refused(600, f"{kind} takes {', '.join(PARAMETERS[kind])}") from None
    return {"accepted": kind, kind: number} if kind in SOCKET_KINDS else {"accepted": kind}
