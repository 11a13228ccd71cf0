"""Which gateways there are, which of them speak, and whom to take a contract from. Pure.

    state       beat (fresh)   silence beyond the bound   a later start of its name   it leaves
    ALIVE       ALIVE          SILENT                     GONE                        GONE
    SILENT      ALIVE          -                          GONE                        GONE
    GONE        -              -                          -                           -

Silence is counted from when the last beat was *sent*, on the gateway's monotonic clock, laid over
ours by the quickest beat seen. A beat that was long under way, on a bus that is slow or behind what
a slow consumer has not read yet, does not count as a sign of life: what comes behind it is as old.
Clocks drift: the quickest beat is forgotten at DRIFT, more than any two clocks run apart.

One contract is taken from one gateway at a time, all its topics. It changes only when that gateway
is not ALIVE or says that it does not trust the contract, and another is better.

Times are nanoseconds of the consumer's monotonic clock unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from mexcfast.gateway.wire import Beat

DRIFT = 0.0005             # 500 ppm: what a clock is slewed by at most
FORGET_AFTER_NS = 600_000_000_000


class Life(Enum):
    """Whether a gateway can be believed."""

    ALIVE = "alive"
    SILENT = "silent"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Source:
    """One incarnation of a gateway. beat: its last; offset_ns: our clock less its, at best."""

    beat: Beat
    offset_ns: int
    offset_at_ns: int
    life: Life = Life.ALIVE
    why: str = ""                    # of SILENT and GONE
    before: Beat | None = field(default=None, repr=False)

    @property
    def number(self) -> int:
        """Its incarnation."""
        return self.beat.gateway

    @property
    def name(self) -> str:
        """What the operator calls it."""
        return self.beat.name

    def silence_ns(self, now_ns: int) -> int:
        """How long ago the last beat was sent."""
        return now_ns - (self.beat.mono_ns + self._offset(now_ns))

    def _offset(self, now_ns: int) -> int:
        return self.offset_ns + int(DRIFT * (now_ns - self.offset_at_ns))

    def hear(self, beat: Beat, now_ns: int) -> None:
        """A later beat came."""
        seen_ns = now_ns - beat.mono_ns
        if seen_ns <= self._offset(now_ns):
            self.offset_ns, self.offset_at_ns = seen_ns, now_ns
        self.before, self.beat = self.beat, beat

    def carries(self, channel: str, symbol: str) -> bool:
        """Whether it publishes this topic."""
        beat = self.beat
        return symbol in beat.seqs and channel in (beat.channels if symbol else beat.common)

    def seq(self, channel: str, symbol: str) -> int | None:
        """The number of the last message when it beat last; None when it has no such topic."""
        beat = self.beat
        names = beat.channels if symbol else beat.common
        if symbol not in beat.seqs or channel not in names:
            return None
        return beat.seqs[symbol][names.index(channel)]


class Sources:
    """All gateways heard of. silent_after_ns: the bound; a beat's own interval may not exceed it.

    Every method returns the sources whose life has changed.
    """

    def __init__(self, silent_after_ns: int) -> None:
        self.silent_after_ns = silent_after_ns
        self.known: dict[int, Source] = {}

    def hear(self, beat: Beat, now_ns: int) -> list[Source]:
        """A beat came. One that is older than the last, or of an earlier start, changes nothing."""
        source = self.known.get(beat.gateway)
        changed: list[Source] = []
        if source is None:
            source = Source(beat, now_ns - beat.mono_ns, now_ns)
            later = [each for each in self.known.values()
                     if each.name == beat.name and each.number > beat.gateway]
            self.known[beat.gateway] = source
            if later:
                source.life, source.why = Life.GONE, "a later start has its name"
                return []
            for each in self.known.values():
                if (each.name == beat.name and each.number < beat.gateway
                        and each.life is not Life.GONE):
                    each.life, each.why = Life.GONE, "it has been started again"
                    changed.append(each)
            changed.append(source)
        elif source.life is Life.GONE or beat.mono_ns <= source.beat.mono_ns:
            return []
        else:
            source.hear(beat, now_ns)
        if beat.leaving:
            source.life, source.why = Life.GONE, "it has left"
            return [*changed, source] if source not in changed else changed
        if source.life is Life.SILENT and source.silence_ns(now_ns) <= self.silent_after_ns:
            source.life, source.why = Life.ALIVE, ""
            changed.append(source)
        return changed

    def check(self, now_ns: int) -> list[Source]:
        """Time has passed."""
        changed = []
        for source in list(self.known.values()):
            silence_ns = source.silence_ns(now_ns)
            if source.life is Life.ALIVE and silence_ns > self.silent_after_ns:
                source.life = Life.SILENT
                source.why = f"it was last heard {silence_ns / 1e9:.1f} s ago"
                changed.append(source)
            elif source.life is not Life.ALIVE and silence_ns > FORGET_AFTER_NS:
                del self.known[source.number]
        return changed

    def doubt(self, why: str) -> list[Source]:
        """The bus is gone: nobody is heard until the next fresh beat."""
        changed = [each for each in self.known.values() if each.life is Life.ALIVE]
        for each in changed:
            each.life, each.why = Life.SILENT, why
        return changed

    def choose(self, channel: str, symbol: str, current: int | None) -> Source | None:
        """Whom to take a topic from: the current source unless another is better; None: nobody.

        Better is who lives and trusts the contract, then who lives, then who may come back; among
        equals the current one, then the one that has been up longest.
        """
        def rank(source: Source) -> tuple[int, bool, int]:
            grade = 2 if source.life is Life.SILENT else int(symbol in source.beat.flagged)
            return grade, source.number != current, source.number

        fit = [each for each in self.known.values()
               if each.life is not Life.GONE and each.carries(channel, symbol)]
        return min(fit, key=rank, default=None)
