"""Frames and REST replies as text, and what a reader is attached to."""

from __future__ import annotations

from decimal import Decimal

from mexcfast.core.depth import OrderBook
from mexcfast.core.reader import Reader
from models import json_model
from models.book_model import Frame, Level

SYMBOL = "BTC_USDT"
TEXT = {v["name"]: v["text"].encode() for v in json_model.vectors("server->client")}


def levels(*pairs) -> list[Level]:
    return [(Decimal(str(p)), Decimal(str(q)), 1) for p, q in pairs]


def side_text(levels: list[Level]) -> str:
    return "[" + ",".join(f"[{p},{q}]" if n < 0 else f"[{p},{q},{n}]" for p, q, n in levels) + "]"


def frame_text(frame: Frame, ts: int = 1) -> str:
    span = f'"begin":{frame.begin},"end":{frame.end},' if frame.has_range else ""
    return (f'{{"channel":"push.depth","data":{{"asks":{side_text(frame.asks)},'
            f'"bids":{side_text(frame.bids)},{span}"version":{frame.end}}},'
            f'"symbol":"{SYMBOL}","ts":{ts}}}')


def snapshot_text(version: int, asks: list[Level], bids: list[Level]) -> str:
    return (f'{{"success":true,"code":0,"data":{{"asks":{side_text(asks)},'
            f'"bids":{side_text(bids)},"version":{version},"timestamp":1}}}}')


def commits_text(commits: list[tuple[int, list[Level], list[Level]]]) -> str:
    rows = ",".join(f'{{"asks":{side_text(a)},"bids":{side_text(b)},"version":{v}}}'
                    for v, a, b in commits)
    return f'{{"success":true,"code":0,"data":[{rows}]}}'


class Control:
    """What the reader is attached to."""

    def __init__(self):
        self.controls, self.needs, self.faults, self.trusted = [], [], [], []

    def on_control(self, event):
        self.controls.append(event)

    def on_need(self, book, change):
        self.needs.append((book.symbol, change))

    def on_trusted(self, book):
        self.trusted.append(book.symbol)

    def on_fault(self, fault, where):
        self.faults.append((fault, where))


def reader_with_book(*listeners):
    control = Control()
    reader = Reader(control)
    book = OrderBook(SYMBOL)
    reader.route(SYMBOL).book = book
    book.listeners = list(listeners)
    for listener in listeners:
        reader.listen("push.depth", SYMBOL, listener)
    return control, reader, book


def depth(begin, end, asks=(), bids=()):
    return frame_text(Frame(begin, end, levels(*asks), levels(*bids), True)).encode()


def snap(reader, book, version, asks=(), bids=()):
    old = book.state
    change = book.load_snapshot(snapshot_text(version, levels(*asks), levels(*bids)))
    reader.settle(book, old, change)
    return change
