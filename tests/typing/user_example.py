"""What a user writes; mypy --strict reads it, nothing runs it."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.events import Acknowledgement, Deals, Depth, Event, OrderUpdate, parse_frame
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from mexcfast.core.topics import Topic, depth


class Mine(Listener):
    def __init__(self) -> None:
        self.mids: list[float] = []

    def on_book(self, book: OrderBook) -> None:
        if book.mid is not None:
            self.mids.append(book.mid)

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        assert_type(book.version, int)

    def on_event(self, event: Event) -> None:
        if isinstance(event, Deals):
            for deal in event.deals:
                assert_type(deal.price, float | None)
                assert_type(deal.trade_id, int | None)
                assert_type(deal.decimal("price"), Decimal | None)
        elif isinstance(event, OrderUpdate):
            assert_type(event.client_order_id, str | None)
            assert_type(event.reduce_only, bool | None)
        elif isinstance(event, Acknowledgement):
            assert_type(event.is_success, bool)
        elif isinstance(event, Depth):
            assert_type(event.asks, list[tuple[float, float, int]])


class Control:
    def on_control(self, event: Event) -> None: ...
    def on_need(self, book: OrderBook, change: Change) -> None: ...
    def on_fault(self, fault: Exception, where: str) -> None: ...


def use(raw: bytes) -> Topic:
    reader = Reader(Control())
    reader.listen("push.deal", "BTC_USDT", Mine())
    reader.feed_bytes(raw, 1)
    book = OrderBook("BTC_USDT")
    if book.apply(raw) is Change.APPLIED:
        assert_type(book.average_price("buy", 3), float | None)
    assert_type(parse_frame(raw).ts_venue_ms, int | None)
    return depth("BTC_USDT")
