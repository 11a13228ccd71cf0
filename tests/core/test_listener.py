"""core/listener: its Python face, and a strategy compiled outside against the .pxd files."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import pytest

import mexcfast
from mexcfast.core.depth import OrderBook
from mexcfast.core.listener import ABI_NUMBER, Listener, overrides
from mexcfast.core.reader import Reader
from models.frames import TEXT, Control, depth, reader_with_book, snap

HOOKS = ("on_book", "on_book_state", "on_event", "on_frame", "on_connected", "on_disconnected",
         "on_reconnected")

STRATEGY = """
# cython: language_level=3
from libc.stdint cimport int64_t
from mexcfast.core.book cimport ASK, BID
from mexcfast.core.depth cimport LIVE, OrderBook, State
from mexcfast.core.events cimport Event
from mexcfast.core.frame cimport Message, TAG_DEAL, TAG_DEPTH
from mexcfast.core.listener cimport ABI, Listener, check_abi
from mexcfast.core.reader cimport Reader

check_abi()

cdef class Strategy(Listener):
    cdef readonly int64_t books, states, events, frames, deals, spread
    cdef readonly int last_state

    cpdef on_book(self, OrderBook book):
        self.books += 1
        self.spread = book.top_price(ASK) - book.top_price(BID)

    cpdef on_book_state(self, OrderBook book, State old, State new):
        self.states += 1
        self.last_state = new

    cpdef on_frame(self, Message frame, int64_t ts_recv_ns):
        self.frames += 1
        if frame.tag == TAG_DEAL:
            self.deals += frame.n_rows

cdef class Quiet(Listener):
    cdef readonly int64_t books

    cpdef on_book(self, OrderBook book):
        self.books += 1

    cpdef on_event(self, Event event):
        raise ValueError("mine")

abi = ABI


def feed_all(Reader reader, list frames):
    cdef bytes frame
    for frame in frames:
        reader.feed(frame, len(frame), 1)
"""

SETUP = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(name="outside", script_args=["build_ext", "--inplace"],
      ext_modules=cythonize([Extension("outside_strategy", ["outside_strategy.pyx"])],
                            include_path=[sys.argv.pop()], quiet=True))
"""


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """The strategy above, compiled in an empty directory against the package as it is imported."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    place = tmp_path_factory.mktemp("outside")
    (place / "outside_strategy.pyx").write_text(STRATEGY)
    (place / "build.py").write_text(SETUP)
    root = Path(mexcfast.__file__).parents[1]
    done = subprocess.run([sys.executable, "build.py", str(root)], cwd=place, capture_output=True,
                          text=True, timeout=600, env=os.environ | {"CFLAGS": "-O0"})
    assert done.returncode == 0, done.stderr
    built = next(place.glob("outside_strategy*.so"), None) or next(place.glob("*.pyd"))
    spec = importlib.util.spec_from_file_location("outside_strategy", built)
    module = importlib.util.module_from_spec(spec)
    sys.modules["outside_strategy"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["outside_strategy"]


def test_an_outside_strategy_is_called_without_python(outside):
    strategy = outside.Strategy()
    control, reader, book = reader_with_book(strategy)
    reader.listen("push.deal", "BTC_USDT", strategy)
    snap(reader, book, 100, asks=[("11.5", 1)], bids=[(10, 1)])
    assert (strategy.books, strategy.states, strategy.last_state) == (1, 1, 2)
    assert strategy.spread == 15
    frames = [depth(n, n, asks=[("11.5", n)]) for n in range(101, 201)]
    deal = TEXT["push_deal_list_docs2026"]
    seen = []

    def profile(frame, event, argument):
        if event in ("call", "c_call"):
            seen.append(getattr(argument, "__name__", None) or frame.f_code.co_name)

    feed = reader.feed_bytes
    sys.setprofile(profile)
    for frame in frames:
        feed(frame, 1)
    feed(deal, 1)
    sys.setprofile(None)
    assert set(seen) <= {"feed_bytes", "cast", "setprofile"}, "a call went through Python"
    assert (strategy.books, strategy.frames, strategy.deals) == (101, 101, 2)
    assert not control.faults


def test_depth_frames_reach_the_book_without_one_python_object(outside):
    def peak_of(reader, frames):
        """Bytes that Python's allocator had out at most while the frames were fed."""
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        outside.feed_all(reader, frames)
        return tracemalloc.get_traced_memory()[1] - before

    class Maker(Listener):
        def on_book(self, book):
            self.top = book.best_bid

    peaks = {}
    frames = [depth(n, n, asks=[("11.5", n), ("12.25", n % 3)], bids=[("9.75", n % 2)])
              for n in range(101, 1101)]
    warm, measured, none = frames[:500], frames[500:], []
    for listener in (outside.Strategy(), Maker()):
        control, reader, book = reader_with_book(listener)
        snap(reader, book, 100, asks=[("11.5", 1), ("12.25", 4)], bids=[(10, 1)])
        outside.feed_all(reader, warm)
        tracemalloc.start()
        try:
            peak_of(reader, none)
            peaks[type(listener)] = peak_of(reader, none), peak_of(reader, measured)
        finally:
            tracemalloc.stop()
        assert book.version == 1100 and not control.faults
    idle, fed = peaks[outside.Strategy]
    assert fed == idle, "an object was made on the way of a frame"
    idle, fed = peaks[Maker]
    assert fed > idle, "the measurement does not see objects"


def test_an_outside_strategy_that_raises(outside):
    quiet = outside.Quiet()
    control, reader, book = reader_with_book(quiet)
    reader.listen("push.deal", "BTC_USDT", quiet)
    reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    assert [(str(fault), where) for fault, where in control.faults] == [("mine", "on_event")]
    snap(reader, book, 100)
    assert quiet.books == 1


def test_an_outside_strategy_refined_in_python(outside):
    calls = []

    class Mine(outside.Strategy):
        def on_book(self, book):
            calls.append(book.version)
            super().on_book(book)

        def on_event(self, event):
            calls.append(event.channel)

    mine = Mine()
    _, reader, book = reader_with_book(mine)
    reader.listen("push.deal", "BTC_USDT", mine)
    snap(reader, book, 100)
    reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    assert calls == [100, "push.deal"]
    assert (mine.books, mine.frames) == (1, 1)


def test_overrides_sees_compiled_and_python_hooks(outside):
    assert [hook for hook in HOOKS if overrides(outside.Strategy(), hook)] == [
        "on_book", "on_book_state", "on_frame"]
    assert [hook for hook in HOOKS if overrides(Listener(), hook)] == []

    class Mine(Listener):
        def on_event(self, event):
            pass

    class Further(Mine):
        def on_frame(self, frame, ts_recv_ns):
            pass

    assert [hook for hook in HOOKS if overrides(Further(), hook)] == ["on_event", "on_frame"]
    with pytest.raises(AttributeError):
        overrides(Mine(), "on_nothing")


def test_another_abi_is_refused(outside):
    assert outside.abi == ABI_NUMBER
    spec = outside.__spec__
    code = textwrap.dedent(f"""
        import importlib.util, sys
        sys.path.insert(0, {str(Path(mexcfast.__file__).parents[1])!r})
        from mexcfast.core import listener
        listener.ABI_NUMBER += 1
        spec = importlib.util.spec_from_file_location("outside_strategy", {spec.origin!r})
        try:
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        except ImportError as fault:
            print(fault)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=120)
    assert f"compiled against mexcfast ABI {ABI_NUMBER}, installed is {ABI_NUMBER + 1}" in (
        done.stdout), done.stderr


def test_hooks_of_the_base_do_nothing():
    listener = Listener()
    book = OrderBook("A")
    assert listener.on_book(book) is None
    assert listener.on_connected("public-1") is None
    assert listener.on_disconnected("public-1", "why") is None
    assert listener.on_reconnected("public-1", 5) is None
    for wrong in (lambda: listener.on_book(None), lambda: listener.on_book("A"),
                  lambda: listener.on_event(5), lambda: listener.on_frame(5, 1),
                  lambda: listener.on_reconnected("x", "y")):
        try:
            wrong()
        except TypeError:
            continue
        assert wrong() is None, "None is let through by Cython"


def test_an_idle_listener_is_no_error():
    reader = Reader(Control())
    reader.listen("push.deal", "BTC_USDT", Listener())
    reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    assert reader.unrouted == 0
