"""net/repair: who is mended first, how many requests are under way, what a question answers."""

from __future__ import annotations

import asyncio

import pytest

from mexcfast.core.depth import OrderBook, State
from mexcfast.core.reader import Reader
from mexcfast.errors import NetworkError
from mexcfast.net.repair import Answer, Repairer
from models.frames import Control, commits_text, depth, snapshot_text

BTC = "BTC_USDT"
PLENTY = {"depth": (1000, 0.01), "depth_commits": (1000, 0.01)}


class Shelf:
    """Books without a pool, and REST answers that wait for open()."""

    def __init__(self, names=(BTC,), *, version=100, budgets=PLENTY, at_once=4):
        self.version = version
        self.reader = Reader(Control())
        self.books = [OrderBook(name) for name in names]
        self.ranks = {book: number for number, book in enumerate(self.books)}
        self.carried = True
        self.asked, self.under_way, self.most, self.told = [], 0, 0, []
        self.gate = asyncio.Event()
        self.fault = None
        self.repairer = Repairer(self.fetch, self, at_once, budgets)

    def reader_of(self, book):
        return self.reader if self.carried else None

    def rank_of(self, book):
        return self.ranks[book]

    def on_repair(self, book, by):
        self.told.append((book.symbol, by))

    async def fetch(self, name, symbol):
        self.asked.append((name, symbol, asyncio.get_running_loop().time()))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if self.fault is not None:
            raise self.fault
        if name == "depth":
            return snapshot_text(self.version, [], []).encode()
        return commits_text([(n, [], []) for n in range(self.version - 9, self.version + 1)]
                            ).encode()

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():                        # noqa: ASYNC110
                await asyncio.sleep(0.001)


def play(script, **more):
    async def run():
        shelf = Shelf(**more)
        try:
            await script(shelf)
        finally:
            await shelf.repairer.close()
        assert len(asyncio.all_tasks()) == 1
        assert shelf.under_way == 0

    asyncio.run(run())


def test_books_are_mended_in_the_order_of_their_ranks_whatever_the_order_of_asking():
    async def script(shelf):
        for book in reversed(shelf.books):
            shelf.repairer.mend(book)
            shelf.repairer.mend(book)
        assert shelf.repairer.waiting == 20
        await shelf.until(lambda: shelf.asked)
        shelf.gate.set()
        await shelf.until(lambda: all(book.is_live for book in shelf.books))
        names = [symbol for _, symbol, _ in shelf.asked]
        assert names == [shelf.books[-1].symbol, *(book.symbol for book in shelf.books[:-1])], (
            "the first was under way before the others came")
        assert shelf.most == 1 and shelf.repairer.waiting == 0

    play(script, names=[f"S{n}_USDT" for n in range(20)], at_once=1)


def test_few_requests_are_under_way_and_never_more_than_the_budget_in_a_window():
    async def script(shelf):
        shelf.gate.set()
        for book in shelf.books:
            shelf.repairer.mend(book)
        await shelf.until(lambda: all(book.is_live for book in shelf.books))
        assert shelf.most <= 3
        times = [at for _, _, at in shelf.asked]
        assert len(times) == 12
        for first, sixth in zip(times, times[5:], strict=False):
            assert sixth - first >= 0.2, "more than five within a window"

    play(script, names=[f"S{n}_USDT" for n in range(12)], at_once=3,
         budgets={"depth": (5, 0.2), "depth_commits": (5, 0.2)})


def test_a_window_counts_from_the_answer():
    async def script(shelf):
        one, other = shelf.books
        shelf.repairer.mend(one)
        await shelf.until(lambda: shelf.asked)
        await asyncio.sleep(0.3)                  # a slow answer, longer than the window
        assert shelf.repairer.slots("depth") == 1, "nothing answered yet"
        answered = asyncio.get_running_loop().time()
        shelf.gate.set()
        await shelf.until(lambda: one.is_live)
        shelf.repairer.mend(other)
        await shelf.until(lambda: other.is_live)
        assert shelf.asked[1][2] - answered >= 0.2

    play(script, names=("A_USDT", "B_USDT"), budgets={"depth": (1, 0.2), "depth_commits": (1, 1)})


def live(shelf):
    book = shelf.books[0]
    shelf.reader.route(BTC).book = book
    book.expect_snapshot()
    book.load_snapshot(snapshot_text(100, [], []))
    return book


@pytest.mark.parametrize(("version", "answer"), [
    (100, Answer.SAME), (99, Answer.SAME), (101, Answer.MOVED)])
def test_a_question_whether_a_book_has_moved(version, answer):
    async def script(shelf):
        book = live(shelf)
        shelf.gate.set()
        answers = []
        shelf.repairer.probe(book, answers.append)
        shelf.repairer.probe(book, answers.append)
        assert answers == [Answer.UNKNOWN], "one question at a time"
        await shelf.until(lambda: len(answers) == 2)
        assert answers[1] is answer
        assert book.version == max(100, version) and book.state is State.LIVE
        assert shelf.told == [], "nothing was mended"

    play(script, version=version)


def test_a_question_without_an_answer():
    async def script(shelf):
        book = live(shelf)
        answers = []
        shelf.gate.set()
        shelf.fault = NetworkError("cut")
        shelf.repairer.probe(book, answers.append)
        await shelf.until(lambda: answers)
        assert answers == [Answer.UNKNOWN] and len(shelf.asked) == 1
        shelf.carried = False
        shelf.repairer.probe(book, answers.append)
        assert answers == [Answer.UNKNOWN] * 2, "its socket is gone"

    play(script)


def test_a_question_becomes_a_repair_when_the_book_breaks_meanwhile():
    async def script(shelf):
        book = live(shelf)
        answers = []
        blocker = shelf.books[1]
        shelf.repairer.mend(blocker)              # holds the only place
        shelf.repairer.probe(book, answers.append)
        shelf.reader.feed_bytes(depth(110, 110), 1)
        assert book.state is State.REPAIRING
        shelf.version = 109
        shelf.repairer.mend(book)
        shelf.gate.set()
        await shelf.until(lambda: book.is_live)
        await shelf.until(lambda: answers)
        assert answers == [Answer.UNKNOWN] and book.version == 110
        assert (BTC, "depth_commits") in shelf.told

    play(script, names=(BTC, "OTHER_USDT"), at_once=1)


def test_an_answer_from_before_a_reset_is_dropped():
    async def script(shelf):
        book = shelf.books[0]
        shelf.repairer.mend(book)
        await shelf.until(lambda: shelf.asked)
        book.reset()
        shelf.repairer.renew(book)
        shelf.gate.set()
        await shelf.until(lambda: book.is_live)
        assert len(shelf.asked) == 2 and book.snapshots == 1

    play(script)


def test_forgetting_ends_a_request_and_makes_room():
    async def script(shelf):
        one, other = shelf.books
        shelf.repairer.mend(one)
        shelf.repairer.mend(other)
        await shelf.until(lambda: shelf.asked)
        shelf.repairer.forget(one)
        await shelf.until(lambda: len(shelf.asked) == 2)
        shelf.gate.set()
        await shelf.until(lambda: other.is_live)
        assert not one.is_live

    play(script, names=("A_USDT", "B_USDT"), at_once=1)
