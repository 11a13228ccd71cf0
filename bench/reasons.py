"""Why a row is below its goal: what profiling found, and what was tried. bench/report.py prints it.

Keys are the rows' own names (bench/rows.py); a row that reaches its goal is not printed. How each
was found: docs/benchmarks.md. Costs are of the machine named in docs/benchmarks.md, in a quiet
moment.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """why: where the time goes. tried: what was tried, and what it gave."""

    why: str
    tried: str


_DIGITS = Reason(
    "45 % of a frame is reading levels' digits and 15 % putting them into a side; both wait for "
    "branches that cannot be foreseen (about 20 mispredicts a frame in the scan, 10 ns each), not "
    "for instructions. The Python call and its answer are 20 to 60 ns of it.",
    "Frames are recognised by the shape of the one before, digits are read eight at a time, levels "
    "go to a tick ladder. An AVX-512 index of the structure gave 10 %, -march=native nothing.")
_SIGN = Reason(
    "The compressions of SHA-256 alone are 97 ns (2 blocks) and 290 ns (6 blocks) on this machine; "
    "the rest is the Python call and the str that is made. The rival is the standard library's "
    "hmac.new, whose own cost moves by a fifth between Python builds.",
    "Saved inner and outer states, hexadecimal digits eight at a time, no bytes object between. "
    "SHA instructions written by hand gave 12 to 26 ns and are left to OpenSSL.")
_ORDER = Reason(
    "48,000 instructions an order (callgrind), 17,000 of them the floor's own and 8,000 the "
    "signature's compressions, which the processor's SHA instructions do in a third of a "
    "microsecond. The other 23,000 are spread thin: checking and encoding 4,000, the tracked order "
    "5,000, the answer's head 3,000, its connection 3,000, its outcome 2,000, the awaited "
    "coroutine. No single function is above 2,000.",
    "Everything between the call and its last byte is compiled, without a task: 282,357 "
    "instructions at first, 117,680 before the joints were compiled, 67,000 before the answer went "
    "to its owner without Python, outcomes without their own __init__, floats without their text. "
    "-fno-plt gave nothing. Left in on purpose: one look whether the connection has ended, a "
    "system call more than the floor makes; it tells Rejected from Unknown. The venue of the bench "
    "answers in C and spins: before, its own waking was in every figure.")
_TRADE = Reason(
    "Between the sleeping client and the frame stands the waking of its core, for every candidate "
    "alike; what follows runs from cold caches, and two milliseconds between two frames are enough "
    "to cool them even when the loop spins. Spinning and rehearsing, of 25 us 9 go by before the "
    "callback (bench/wire.py, Python listener; a bare recv in C takes 6) and 7 in the kernel's "
    "send, which bare C makes as well (its 13 less its 6); what is left is ours.",
    "submit_nowait() writes during the call instead of from a task in the next turn of the loop; "
    "its way is compiled whole, which is what leaves fewer cache lines to fetch. Rehearsals "
    "(Client.rehearse) keep the way warm while the loop spins, down to the kernel's own. "
    "Rehearsing on a sleeping loop, once a millisecond, was tried too: nothing gained, each one "
    "finds everything cold again.")
_START = Reason(
    "Three round trips are the protocol's: connect, upgrade, then subscription and snapshot "
    "together. What is above them is Python that runs once (the first request of an HTTP client, "
    "name look-up in a thread: about 6 ms of CPU) and the delay's own timers.",
    "The connection for the snapshot is opened while the socket connects (a round trip less); the "
    "snapshot is asked for with the subscription, not after its acknowledgement.")
_WIRE = Reason(
    "Frame and book are two thirds of it, the digits first; see parse + check + apply.",
    "No Python object is made of a frame whose listener is compiled, no collection runs.")

_SPIN = Reason(
    "Spinning stands at its floor: a bare recv in C that spins takes as long, and its own ratio is "
    "the floor's. What moves is the other side: how long a sleeping core takes to wake, 20 to "
    "30 us on this report's host, 50 to 85 on the one that must and goal come from.",
    "Nothing is left to take away on our side of the ratio. Pauses between the polls, so that a "
    "sibling thread has the core to itself, changed nothing.")

REASONS: dict[str, Reason] = {
    "parse + check + apply: against ccxt.pro's handler": _DIGITS,
    "parse + check + apply: against orjson + order-book": _DIGITS,
    "parse + check + apply: against msgspec + dict": _DIGITS,
    "parse + check + apply: top read each frame, against the best rival at that": _DIGITS,
    "parse + check + apply: against orjson.loads of the frame, no book": _DIGITS,
    "socket to live book at full blast, CPU over an empty picows listener": _WIRE,
    "the same, against ccxt.pro": _WIRE,
    "the same, against aiohttp + json without a book": _WIRE,
    "wire to callback, book updated, spinning, p50 over an empty picows listener": _WIRE,
    "spinning against the sleeping loop, same listener, p50": _SPIN,
    "sign 31 bytes from Python, against hmac.new": _SIGN,
    "sign 250 bytes from Python, against hmac.new": _SIGN,
    "body, signature and headers in one native call, against plain Python": _SIGN,
    "order submit over a bare uvloop protocol, p50": _ORDER,
    "order submit over a bare uvloop protocol, CPU": _ORDER,
    "order submit, CPU against ccxt": _ORDER,
    "order submit, CPU against aiohttp as users write it": _ORDER,
    "order submit over TLS, p50 over the aiofastnet floor": _ORDER,
    "tick to trade, sleeping, p50 against ccxt": _TRADE,
    "tick to trade, sleeping, p50 against a careful handmade bot": _TRADE,
    "tick to trade, ours spinning and rehearsing, p50 against ccxt as shipped": _TRADE,
    "tick to trade, spinning and rehearsing, p50 over a spinning C client": _TRADE,
    "first book live after subscribe, over the protocol's own minimum": _START,
    "60 books live after subscribe, over the protocol's own minimum": _START,
}


def table(judged: list[dict[str, object]]) -> str:
    """Markdown: every measured row below its goal, why, and what was tried; "" without any."""
    below = [row for row in judged if row["met"] in ("must", "no")]
    if not below:
        return ""
    out = ["| What | Measured | Goal | Why | Tried |", "| --- | --- | --- | --- | --- |"]
    for row in below:
        reason = REASONS.get(str(row["what"]), Reason("not profiled yet", "nothing yet"))
        out.append(f"| {row['what']} | {row['measured']} | {row['goal']} | {reason.why} | "
                   f"{reason.tried} |")
    return "\n".join(out)
