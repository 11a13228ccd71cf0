"""The WebSocket side: sessions, subscriptions, pushes (protocol.md 5 to 9).

A frame is serialised once and the same bytes go to every subscriber of its topic. Frames are
written to the transport directly, without a task in between; a client that does not read is cut.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from mexcfast.sim import events, views, wire
from mexcfast.sim.accounts import Account
from mexcfast.sim.candles import INTERVALS
from mexcfast.sim.checks import Params, Refused, check_clock, decode_json, signature
from mexcfast.sim.faults import Faults
from mexcfast.sim.market import Market, PublicDeal
from mexcfast.sim.matching import BUY, SELL, Commit
from mexcfast.sim.session import FILTER_KEYS, Session, Topic
from mexcfast.sim.settings import Limits, Variations
from mexcfast.sim.venue import Listener, Venue

WITHOUT_RULES = frozenset(("asset", "adl.level"))
STEP_LEVELS = 20


class Hub(Listener):
    """All sessions and who listens to what."""

    def __init__(
        self,
        venue: Venue,
        faults: Faults,
        limits: Limits,
        variations: Variations,
        *,
        merge_ms: int,
        stamp_ns: bool,
        strict_clock: bool,
        log: Callable[[str, str], None],
    ) -> None:
        self.venue = venue
        self.faults = faults
        self.limits = limits
        self.variations = variations
        self.merge_ms = merge_ms
        self.stamp_ns = stamp_ns
        self.strict_clock = strict_clock
        self.sessions: set[Session] = set()
        self.key_made_ms: dict[int, int] = {}
        """When each account's key was made, for keys that age."""
        self.frames_sent = 0
        self._log = log
        self._subscribers: dict[Topic, dict[Session, bool]] = {}
        self._private: dict[int, set[Session]] = {}
        self._flushed = {symbol: m.book.version for symbol, m in venue.markets.items()}
        self._shown = dict(self._flushed)
        self._shown_deals = {symbol: 0 for symbol in venue.markets}
        self._pending_deals: dict[str, list[PublicDeal]] = {}
        self.enforced: Counter[str] = Counter()
        """Sockets closed because a client broke a rule of 5.2, by rule."""
        self._commands: dict[str, Callable[[Session, dict[str, Any]], None]] = {
            "login": self._login,
            "personal.filter": self._filter,
        }

    # Sessions

    def open(self, session: Session) -> None:
        """A client connected."""
        self.sessions.add(session)
        if self.variations.client_id:
            session.write(self._frame("clientId", wire.dumps(f"{id(session) & 0xFFFFFFFF:08x}")))

    def closed(self, session: Session) -> None:
        """A client is gone; forget everything about it."""
        self.sessions.discard(session)
        for topic in session.topics:
            self._forget(session, topic)
        session.topics.clear()
        if session.account is not None:
            self._private.get(session.account.uid, set()).discard(session)
        session.gone()

    def watching(self, symbol: str | None) -> list[Session]:
        """The sessions that watch a symbol, or all."""
        return [
            session
            for session in self.sessions
            if symbol is None or any(topic[1] == symbol for topic in session.topics)
        ]

    def version_gap(self, symbol: str, versions: int) -> None:
        """Number the book anew, further on; nobody is told."""
        book = self.venue.markets[symbol].book
        self.flush_depth(self.venue.markets[symbol])
        book.commits.clear()
        book.version += versions
        self._flushed[symbol] = book.version

    def enforce_limits(self) -> None:
        """Close what is silent, idle or too old (5.2)."""
        limits, now, scale = self.limits, time.monotonic(), self.limits.time_scale
        key_age = limits.key_age_seconds
        if key_age is not None:
            oldest = self.venue.clock_ms() - key_age * scale * 1000
            for account in self.venue.accounts.values():
                if not account.addresses and self.key_made_ms.get(account.uid, oldest) < oldest:
                    account.expired = True
        for session in list(self.sessions):
            idle = not session.topics and session.account is None
            for rule, since, allowed in (
                ("age", session.opened, limits.max_age_seconds),
                ("no ping", session.last_ping, limits.no_ping_seconds),
                ("no subscription", session.idle_since if idle else now,
                 limits.no_subscription_seconds),
            ):
                if allowed is not None and now - since > allowed * scale:
                    self._enforce(session, rule)
                    break

    def _enforce(self, session: Session, rule: str) -> None:
        self.enforced[rule] += not session.half_open
        session.close()

    # From the client

    def handle(self, session: Session, text: str) -> None:
        """One message; every kind of bad input is answered with rs.error."""
        if session.half_open:
            return
        now = time.monotonic()
        allowed = self.limits.messages_per_second
        if allowed is not None:
            messages = session.messages
            messages.append(now)
            while messages and now - messages[0] > self.limits.time_scale:
                messages.popleft()
            if len(messages) > allowed:
                self._enforce(session, "messages")
                return
        method = ""
        try:
            message = decode_json(text)
            if not isinstance(message, dict) or not isinstance(message.get("method"), str):
                raise Refused(600, "invalid param")
            method = message["method"]
            if method.lower() == "ping":
                self._ping(session)
                return
            if method == "sim.handled":  # step mode: the client says so itself
                session.heard("message")
                return
            self._log(method, text)
            if method in self._commands:
                self._commands[method](session, message)
            elif method.startswith("sub."):
                self._subscribe(session, method[4:], message)
            elif method.startswith(("unsub.", "usub.")):
                self._unsubscribe(session, method.partition(".")[2], message)
            else:
                raise Refused(600, f"Not support method {method[:40]}")
        except Refused as refused:
            if not method:
                self._log("", text)
            session.write(self._frame("rs.error", wire.dumps(refused.text())))
        session.heard("message")

    def _ping(self, session: Session) -> None:
        session.last_ping = time.monotonic()
        session.heard("message")
        now = self.venue.clock_ms()
        frame = wire.text_frame(f'{{"channel":"pong","data":{now},"ts":{now}}}')
        session.write(frame)
        if self.variations.duplicate_pong:
            session.write(frame)

    def _ack(self, session: Session, method: str) -> None:
        data = {"success": '"success"', "code": '{"code":0}', "absent": ""}[self.variations.ack]
        session.write(self._frame(f"rs.{method}", data))

    def _login(self, session: Session, message: dict[str, Any]) -> None:
        try:
            param = message.get("param")
            if not isinstance(param, dict):
                raise Refused(600, "invalid param")
            params = Params(param)
            key = params.need_text("apiKey")
            req_time = params.need_text("reqTime")
            given = params.need_text("signature")
            account = self.venue.keys.get(key)
            if account is None:
                raise Refused(401)
            if account.expired:
                raise Refused(402)
            if account.addresses and session.remote not in account.addresses:
                raise Refused(406)
            if self.limits.clock_window:
                now, usual = self.venue.clock_ms(), self.limits.clock_window_seconds
                check_clock(req_time, None, now, self.strict_clock, usual)
            if given != signature(account.secret, key, req_time):
                raise Refused(602)
        except Refused as refused:
            if self.variations.login_error == "rs.login":
                data = wire.dumps({"code": refused.code, "msg": refused.text()})
                session.write(self._frame("rs.login", data))
                return
            raise
        if session.account is not None:
            self._private.get(session.account.uid, set()).discard(session)
        session.account = account
        self._private.setdefault(account.uid, set()).add(session)
        session.filters = None
        session.quiet = message.get("subscribe") is False or param.get("subscribe") is False
        self._ack(session, "login")

    def _filter(self, session: Session, message: dict[str, Any]) -> None:
        if session.account is None:
            raise Refused(401)
        param = message.get("param") or {}
        filters = param.get("filters") if isinstance(param, dict) else None
        if not isinstance(param, dict) or not isinstance(filters, list | None):
            raise Refused(600, "invalid param")
        wanted: dict[str, frozenset[str] | None] = {}
        for item in filters or ():
            name = item.get("filter") if isinstance(item, dict) else None
            if not isinstance(name, str) or name not in FILTER_KEYS:
                raise Refused(600, "invalid param")
            rules = item.get("rules")
            if rules is not None and (
                not isinstance(rules, list) or not all(isinstance(one, str) for one in rules)
            ):
                raise Refused(600, "invalid param")
            wanted[name] = frozenset(rules) if rules and name not in WITHOUT_RULES else None
        session.filters = wanted or None
        if not wanted:
            session.quiet = False
        self._ack(session, "personal.filter")

    # Subscriptions

    def _topic(self, channel: str, params: Params) -> Topic:
        """The topic of a subscribe message; Refused with the texts of section 6."""
        if channel in ("tickers", "contract", "event.contract"):
            return (channel, "", "")
        symbol = params.need_text("symbol")
        if symbol not in self.venue.markets:
            raise Refused(1001, f"Contract [{symbol[:40]}] not exists")
        if channel in ("ticker", "funding.rate", "index.price", "fair.price"):
            return (channel, symbol, "")
        if channel in ("depth", "deal"):
            merged = params.boolean("compress") or not params.has("compress")
            return (channel, symbol, "zip" if merged else "raw")
        if channel == "depth.full":
            limit = params.integer("limit")
            if limit not in (None, 5, 10, 20):
                raise Refused(600, "Not support limit")
            return (channel, symbol, str(limit or 20))
        if channel == "depth.step":
            step = params.need_text("step")
            if step not in self.venue.markets[symbol].contract.depth_steps:
                raise Refused(600, "Not support step")
            return (channel, symbol, step)
        if channel == "kline":
            interval = params.need_text("interval")
            if interval not in INTERVALS:
                raise Refused(600, "Not support interval")
            return (channel, symbol, interval)
        raise Refused(600, f"Not support channel {channel[:40]}")

    def _subscribe(self, session: Session, channel: str, message: dict[str, Any]) -> None:
        param = message.get("param") or {}
        if not isinstance(param, dict):
            raise Refused(600, "invalid param")
        topic = self._topic(channel, Params(param))
        replaced: list[Topic] = []
        if channel in ("depth", "deal", "depth.full"):  # one form per symbol and connection
            replaced = [t for t in session.topics if t[:2] == topic[:2] and t != topic]
        allowed = self.limits.topics
        count = len(session.topics) - len(replaced) + (topic not in session.topics)
        if allowed is not None and count > allowed:
            raise Refused(600, f"Subscriptions above {allowed} per connection")
        for old in replaced:
            self._leave(session, old)
        packed = message.get("gzip") is True
        session.topics[topic] = packed
        self._subscribers.setdefault(topic, {})[session] = packed
        self._ack(session, f"sub.{channel}")
        state = self._state(topic)
        if state is not None:
            frame = wire.gzip_frame(state) if packed else wire.text_frame(state)
            session.push(channel, topic[1], frame)

    def _unsubscribe(self, session: Session, channel: str, message: dict[str, Any]) -> None:
        param = message.get("param") or {}
        if not isinstance(param, dict):
            raise Refused(600, "invalid param")
        params = Params(param)
        if channel in ("tickers", "contract", "event.contract"):
            chosen = [topic for topic in session.topics if topic[0] == channel]
        else:
            symbol = params.need_text("symbol")
            extra = None
            if channel == "kline":
                extra = params.text("interval")
            elif channel == "depth.step":
                extra = params.text("step")
            chosen = [
                topic
                for topic in session.topics
                if topic[:2] == (channel, symbol) and extra in (None, topic[2])
            ]
        for topic in chosen:
            self._leave(session, topic)
        self._ack(session, f"unsub.{channel}")

    def _leave(self, session: Session, topic: Topic) -> None:
        session.topics.pop(topic, None)
        self._forget(session, topic)
        if not session.topics:
            session.idle_since = time.monotonic()

    def _forget(self, session: Session, topic: Topic) -> None:
        listeners = self._subscribers.get(topic)
        if listeners is not None:
            listeners.pop(session, None)
            if not listeners:
                del self._subscribers[topic]

    # Frames

    def _frame(self, channel: str, data: str) -> bytes:
        return wire.text_frame(self._envelope(channel, data, "", first=True))

    def _envelope(
        self, channel: str, data: str, symbol: str, *, first: bool | None = None, now: int = 0
    ) -> str:
        """One message; `data` is JSON text, empty for none; now: the venue's time, if known."""
        variations = self.variations
        named = f'"channel":"{channel}"'
        inside = (f'"symbol":"{symbol}",' if symbol else "") + (f'"data":{data},' if data else "")
        if variations.ts == "absent":
            tail = ""
        else:
            now = now or self.venue.clock_ms()
            tail = f',"ts":{now}' if variations.ts == "number" else f',"ts":"{now}"'
        if variations.unknown_fields:
            tail += ',"novelty":{"a":[1,2,{"b":"}"}]}'
        if first or (first is None and variations.channel == "first"):
            return f"{{{named},{inside}"[:-1] + tail + "}"
        return f"{{{inside}{named}{tail}}}"

    def _publish(self, topic: Topic, text: str) -> None:
        """Send one text to every subscriber of a topic."""
        listeners = self._subscribers.get(topic)
        if not listeners:
            return
        if self.stamp_ns and topic[0] == "depth":
            text = f'{text[:-1]},"sim_ns":{time.monotonic_ns()}}}'
        plain = wire.text_frame(text)
        packed = b""
        channel, symbol, _ = topic
        for session, gzipped in list(listeners.items()):
            if gzipped and not packed:
                packed = wire.gzip_frame(text)
            session.push(channel, symbol, packed if gzipped else plain)
            self.frames_sent += 1

    # Public pushes

    def on_commit(self, market: Market, commit: Commit) -> None:
        """Single-version frames at once; merged ones wait for flush()."""
        topic = ("depth", market.symbol, "raw")
        if topic in self._subscribers:
            elements = self.variations.level_elements
            asks, bids = views.changes_text(market.contract, (commit,), elements)
            now = self.venue.clock_ms()
            data = f'{{"cts":{now},"asks":{asks},"bids":{bids},"version":{commit.version}}}'
            self._publish(topic, self._envelope("push.depth", data, market.symbol, now=now))
        if self.merge_ms == 0:
            self.flush_depth(market)

    def on_deals(self, market: Market, deals: list[PublicDeal]) -> None:
        """Every single trade for compress:false; the others are collected."""
        topic = ("deal", market.symbol, "raw")
        if topic in self._subscribers:
            for one in deals:
                self._push_deals(topic, market, [one])
        if ("deal", market.symbol, "zip") in self._subscribers:
            self._pending_deals.setdefault(market.symbol, []).extend(deals)
            if self.merge_ms == 0:
                self.flush_deals(market)

    def flush_depth(self, market: Market) -> None:
        """One merged frame of everything since the last flush (7.4)."""
        book = market.book
        since = self._flushed[market.symbol]
        if book.version == since:
            return
        self._flushed[market.symbol] = book.version
        topic = ("depth", market.symbol, "zip")
        if topic not in self._subscribers:
            return
        elements = self.variations.level_elements
        asks, bids = views.changes_text(market.contract, book.since(since), elements)
        now = self.venue.clock_ms()
        data = (
            f'{{"cts":{now},"asks":{asks},"bids":{bids},'
            f'"end":{book.version},"begin":{since + 1},"version":{book.version}}}'
        )
        self._publish(topic, self._envelope("push.depth", data, market.symbol, now=now))

    def flush_deals(self, market: Market) -> None:
        """Trades collected since the last flush, as one list frame."""
        deals = self._pending_deals.pop(market.symbol, None)
        if deals:
            self._push_deals(("deal", market.symbol, "zip"), market, deals)

    def _push_deals(self, topic: Topic, market: Market, deals: list[PublicDeal]) -> None:
        as_int = self.variations.ids == "int"
        shown = [views.deal(market, one, push=True, ids_as_int=as_int) for one in deals]
        if self.variations.deal_shape == "object":
            for one in shown:
                self._publish(topic, self._envelope("push.deal", wire.dumps(one), market.symbol))
        else:
            self._publish(topic, self._envelope("push.deal", wire.dumps(shown), market.symbol))

    def flush_states(self, market: Market) -> None:
        """depth.full, depth.step and kline when something changed (every 200 ms)."""
        symbol = market.symbol
        if market.book.version != self._shown[symbol]:
            self._shown[symbol] = market.book.version
            extras = [("depth.full", limit) for limit in ("5", "10", "20")]
            extras += [("depth.step", step) for step in market.contract.depth_steps]
            self._publish_states((channel, symbol, extra) for channel, extra in extras)
        if market.changed_deals != self._shown_deals[symbol]:
            self._shown_deals[symbol] = market.changed_deals
            self._publish_states(("kline", symbol, interval) for interval in INTERVALS)

    def publish_second(self, market: Market) -> None:
        """ticker, index.price and fair.price: once a second."""
        symbol = market.symbol
        channels = ("ticker", "index.price", "fair.price")
        self._publish_states((channel, symbol, "") for channel in channels)
        if self.variations.unknown_channels:
            for session in self.sessions:
                session.write(self._frame("push.unknown.thing", '{"x":1}'))

    def publish_slow(self) -> None:
        """tickers and funding rates: every two seconds."""
        self._publish_states([("tickers", "", "")])
        self._publish_states(("funding.rate", symbol, "") for symbol in self.venue.markets)

    def publish_contract(self, market: Market) -> None:
        """A contract definition changed (7.11, 7.12)."""
        data = wire.dumps(market.contract.describe())
        text = self._envelope("push.contract", data, market.symbol)
        self._publish(("contract", "", ""), text)
        data = wire.dumps(events.describe(market.contract))
        text = self._envelope("push.event.contract", data, market.symbol)
        self._publish(("event.contract", "", ""), text)

    def _publish_states(self, topics: Any) -> None:
        for topic in topics:
            if topic in self._subscribers:
                text = self._state(topic)
                if text is not None:
                    self._publish(topic, text)

    def _state(self, topic: Topic) -> str | None:
        """Whole message of a channel whose frames are complete states, else None."""
        channel, symbol, extra = topic
        now = self.venue.clock_ms()
        elements = self.variations.level_elements
        if channel == "tickers":
            data = wire.dumps(
                [views.short_ticker(one, now) for one in self.venue.markets.values()]
            )
            return self._envelope("push.tickers", data, "")
        market = self.venue.markets.get(symbol)
        if market is None:
            return None
        contract = market.contract
        if channel == "ticker":
            data = wire.dumps(views.ticker(market, now, rest=False))
        elif channel in ("index.price", "fair.price"):
            tick = market.index_tick if channel == "index.price" else market.fair_tick
            data = f'{{"symbol":"{symbol}","price":{contract.price_text(tick)}}}'
        elif channel == "funding.rate":
            rate = wire.number(market.funding_rate)
            settle = market.next_funding_ms
            data = f'{{"symbol":"{symbol}","rate":{rate},"nextSettleTime":{settle}}}'
        elif channel == "depth.full":
            asks = views.levels_text(contract, market.book.ladder(SELL, int(extra)), elements)
            bids = views.levels_text(contract, market.book.ladder(BUY, int(extra)), elements)
            version = market.book.version
            data = f'{{"cts":{now},"asks":{asks},"bids":{bids},"version":{version}}}'
        elif channel == "depth.step":
            data = self._step_data(market, extra, elements, now)
        elif channel == "kline":
            candle = market.candles.latest(extra)
            if candle is None:
                return None
            data = wire.dumps(market.candles.push(extra, candle))
        else:
            return None
        if channel == "depth.full":
            channel = self.variations.full_channel
        return self._envelope(f"push.{channel}", data, symbol)

    def _step_data(self, market: Market, step: str, elements: int, now: int) -> str:
        sides = views.steps_text(market, Decimal(step), STEP_LEVELS, elements)
        bid, ask = market.book.best(BUY), market.book.best(SELL)
        text = market.contract.price_text
        return (
            f'{{"askMarketLevelPrice":{0 if ask is None else text(ask)},"asks":{sides["asks"]},'
            f'"bidMarketLevelPrice":{0 if bid is None else text(bid)},"bids":{sides["bids"]},'
            f'"ct":{now},"version":{market.book.version}}}'
        )

    # Private pushes

    def hears(self, account: Account) -> bool:
        """Whether a session is logged in for an account."""
        return bool(self._private.get(account.uid))

    def on_private(self, account: Account, channel: str, data: dict[str, Any], symbol: str) -> None:
        """One push to every logged-in session of the account that wants it."""
        sessions = self._private.get(account.uid)
        if not sessions:
            return
        body = wire.dumps(data) if data else ""  # position.closeall.fail has no data
        text = self._envelope(f"push.personal.{channel}", body, "")
        frame = wire.text_frame(text)
        for session in list(sessions):
            if session.wants(channel, symbol):
                if self.variations.private_delay_seconds > 0:
                    loop = asyncio.get_running_loop()
                    wait = self.variations.private_delay_seconds
                    loop.call_later(wait, session.push, channel, symbol, frame)
                else:
                    session.push(channel, symbol, frame)
