"""An exchange without sockets: signed requests straight into Rest, and every private push."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from mexcfast.sim import Limits, Variations
from mexcfast.sim.accounts import Account
from mexcfast.sim.checks import signature, signed_query
from mexcfast.sim.faults import Faults
from mexcfast.sim.rest import Rest
from mexcfast.sim.venue import Listener, Venue

START_MS = 1_761_876_000_000
SYMBOLS = ("BTC_USDT", "ETH_USDT", "DOGE_USDT", "ARB_USDT", "BTC_USD", "ETH_USD")
PRIVATE = "/api/v1/private/"


class Pushes(Listener):
    """Remembers (uid, channel, data) in order."""

    def __init__(self) -> None:
        self.all: list[tuple[int, str, dict[str, Any]]] = []

    def on_private(self, account: Account, channel: str, data: dict[str, Any], symbol: str) -> None:
        self.all.append((account.uid, channel, data))


class World:
    """A venue with a clock that tests move, one rich user `me` and one other."""

    def __init__(
        self,
        *,
        variations: Variations | None = None,
        symbols: tuple[str, ...] = SYMBOLS,
        limits: Limits | None = None,
        levels: int = 40,
        seed: int = 5,
    ) -> None:
        self.now = START_MS
        self.variations = variations or Variations()
        self.venue = Venue(
            seed=seed, symbols=symbols, levels=levels, history=1000, clock_ms=lambda: self.now
        )
        self.venue.ids_as_int = self.variations.ids == "int"
        self.pushes = Pushes()
        self.venue.listener = self.pushes
        money = {"USDT": Decimal(1_000_000), "BTC": Decimal(50), "ETH": Decimal(500)}
        self.me = self.venue.add_account("me", "mine", money)
        self.other = self.venue.add_account("other", "theirs", money)
        self.faults = Faults(self.venue.clock_ms, list(symbols))
        self.limits = limits or Limits.off()
        self.rest = Rest(
            self.venue, self.faults, self.limits, self.variations, lenient_auth=False,
            strict_clock=False,
        )  # fmt: skip

    # Requests

    def headers(self, payload: bytes, who: Account | None = None) -> dict[str, str]:
        user, time = who or self.me, str(self.now)
        signed = signature(user.secret, user.access_key, time, payload)
        return {"ApiKey": user.access_key, "Request-Time": time, "Signature": signed}

    def ask(self, method: str, path: str, body: Any = None, who: Account | None = None) -> Any:
        """Whole reply to a signed request; `path` with its query."""
        where, _, query = path.partition("?")
        raw = b"" if body is None else json.dumps(body, default=str).encode()
        payload = raw if method == "POST" else signed_query(query).encode()
        answer = self.rest.answer(
            method, where, query, self.headers(payload, who), raw, "127.0.0.1"
        )
        return json.loads(answer.text, parse_float=Decimal)

    def get(self, path: str, who: Account | None = None) -> Any:
        return self.ask("GET", PRIVATE + path, who=who)

    def post(self, path: str, body: Any = None, who: Account | None = None) -> Any:
        return self.ask("POST", PRIVATE + path, {} if body is None else body, who)

    def ok(self, path: str, body: Any = None, who: Account | None = None) -> Any:
        """Data of a POST that must succeed."""
        reply = self.post(path, body, who)
        assert reply["success"] is True, reply
        return reply.get("data")

    def order(self, who: Account | None = None, **changes: Any) -> str:
        """Place; the order id."""
        body = {
            "symbol": "BTC_USDT", "vol": 10, "leverage": 20, "side": 1, "type": 5, "openType": 1,
            "price": self.price(changes.get("symbol", "BTC_USDT")), **changes,
        }  # fmt: skip
        data = self.ok("order/create", {k: v for k, v in body.items() if v is not None}, who)
        return data["orderId"] if isinstance(data, dict) else data

    # The market

    def price(self, symbol: str = "BTC_USDT", side: int = 1, rank: int = 0) -> Decimal:
        """A price in the book, best first."""
        market = self.venue.markets[symbol]
        return market.contract.price(market.book.ladder(side)[rank][0])

    def last(self, symbol: str = "BTC_USDT") -> Decimal:
        market = self.venue.markets[symbol]
        return market.contract.price(market.last_tick)

    def step_price(self, symbol: str, ticks: int) -> Decimal:
        """Last price plus ticks."""
        market = self.venue.markets[symbol]
        return market.contract.price(market.last_tick + ticks)

    def move_last(self, symbol: str, price: Decimal) -> None:
        """Let the crowd trade until the last price is at or beyond a price."""
        market = self.venue.markets[symbol]
        wanted = market.contract.tick(price)
        assert wanted is not None
        for _ in range(500):
            if market.last_tick == wanted:
                return
            up = wanted > market.last_tick
            best = market.book.best(2 if up else 1)
            if best is None or ((best > wanted) if up else (best < wanted)):
                self.stand(symbol, 2 if up else 1, price, 1)  # nobody stands there yet
                best = wanted
            vol = market.book.level(2 if up else 1, best)[0]
            self.venue.trade(symbol, 1 if up else 2, vol)
            if market.last_tick >= wanted if up else market.last_tick <= wanted:
                return
        raise AssertionError(f"{symbol} did not reach {price}")

    def stand(self, symbol: str, side: int, price: Decimal, vol: int) -> None:
        """Lay a resting order of the crowd."""
        market = self.venue.markets[symbol]
        tick = market.contract.tick(price)
        assert tick is not None
        market.book.place(self.venue._next_crowd_id(), 0, side, tick, vol, post_only=True)

    def mark(self, symbol: str, fair: Decimal) -> None:
        """Pin the fair price."""
        self.venue.move_prices(symbol, fair=fair)

    def pass_time(self, ms: int) -> None:
        """Move the clock, then let every market's second happen."""
        self.now += ms
        for market in self.venue.markets.values():
            market.update_prices()
            self.venue.each_second(market)

    def position(self, symbol: str = "BTC_USDT", kind: int = 1, who: Account | None = None) -> Any:
        return (who or self.me).positions[symbol, kind]

    # Pushes

    def told(self, action: Callable[[], Any], who: Account | None = None) -> list[Any]:
        """(channel, data) that an action causes for a user."""
        before = len(self.pushes.all)
        action()
        uid = (who or self.me).uid
        return [(channel, data) for one, channel, data in self.pushes.all[before:] if one == uid]
