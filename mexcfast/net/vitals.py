"""Looks at every socket and topic twice a second: who is silent, who is sick, who is old.

A topic whose clock (core/liveness) runs out:

    degraded: told, its book in doubt, unless another socket carries the topic and speaks
        depth       REST is asked whether the book has moved
                        no:  trusted again, the clock more patient
                        yes: the book has the snapshot and stays in doubt; subscribed again
        others      subscribed again; the venue's yes is trust enough, the clock more patient
    in any case a ping leaves, so that a half-open socket is found within the pong deadline
    recovered: by its next frame, or as above

A sick socket is handed to net/rotation, and so is one that is old enough or crowded. Nothing here
looks at single frames: receipts are compared from one look to the next.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mexcfast.core.liveness import RHYTHMS, SilenceClock
from mexcfast.core.placement import Crowding, Limits, Seat
from mexcfast.core.topics import Topic
from mexcfast.net.connection import SECOND, Connection, TopicState
from mexcfast.net.repair import Answer
from mexcfast.net.tasks import end

if TYPE_CHECKING:
    from mexcfast.net.pool import Pool


@dataclass(slots=True)
class _Pulse:
    """One topic on one socket."""

    clock: SilenceClock
    last_heard: int                      # wall clock of the last frame we know of
    silent_ns: int = 0                   # when its silence was found, monotonic
    is_dead: bool = False                # its book moved without it
    asked_again: bool = False            # the venue's yes is awaited


@dataclass(slots=True)
class _Patient:
    """One socket: its topics, and how often it was opened when they were noted."""

    opened: int = 0
    pulses: dict[Topic, _Pulse] = field(default_factory=dict)
    crowding: Crowding = field(default_factory=Crowding)


class Vitals:
    """The liveness of one pool's sockets."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._patients: dict[Connection, _Patient] = {}
        self._degraded: dict[Topic, int] = {}     # since when, monotonic
        self._task: asyncio.Task[None] | None = None

    @property
    def degraded(self) -> tuple[Topic, ...]:
        """Topics that are silent beyond their bound now."""
        return tuple(self._degraded)

    def bound_ns(self, topic: Topic) -> int | None:
        """Silence of this topic that is still normal; None: it has no rhythm or no socket yet."""
        bounds = [patient.pulses[topic].clock.bound_ns for patient in self._patients.values()
                  if topic in patient.pulses]
        return min(bounds, default=None)

    def start(self) -> None:
        """Look until close(); nothing happens when that is under way."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(),
                                                                name="mexcfast vitals")

    async def close(self) -> None:
        """Stop looking."""
        task, self._task = self._task, None
        await end(task)
        self._patients.clear()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pool.settings.silence_tick)
            self.look(time.monotonic_ns())

    def look(self, now_ns: int) -> None:
        """One look at everything. now_ns: monotonic."""
        for connection in list(self._patients):
            if connection not in self._pool.connections:
                del self._patients[connection]
        for connection in list(self._pool.connections):
            if connection.is_open:
                self._look_at(connection, now_ns)
        self._pool.rotator.advance(now_ns)

    def _look_at(self, connection: Connection, now_ns: int) -> None:
        reader = connection.reader
        connection.load.measure(now_ns, reader.frames, reader.bytes_read)
        connection.ask_refused(now_ns)
        patient = self._patients.setdefault(connection, _Patient())
        if patient.opened != connection.opened:       # another socket: its own rhythm, no memory
            patient.opened = connection.opened
            patient.pulses.clear()
        for topic in [topic for topic in patient.pulses if topic not in connection.topics]:
            del patient.pulses[topic]
        for topic, state in list(connection.topics.items()):
            if state in (TopicState.LIVE, TopicState.ASKED):
                self._feel(connection, patient, topic, now_ns)
        self._measure_lateness(connection, now_ns)
        if connection.is_leaving:
            return
        pulses = patient.pulses.values()
        # Whoever is silent gets as long as a pong to be excused; a half-open socket ends by then.
        told_ns = now_ns - int(self._pool.settings.pong_deadline * SECOND)
        silent = sum(pulse.clock.is_silent and pulse.silent_ns < told_ns for pulse in pulses)
        why = connection.health.sick(now_ns, len(patient.pulses), silent,
                                     sum(pulse.is_dead for pulse in pulses))
        if why:
            self._pool.rotator.drain(connection, why, now_ns)
        elif connection.rotate_at_ns is not None and now_ns >= connection.rotate_at_ns:
            self._pool.rotator.rotate(connection, now_ns)
        else:
            self._look_at_load(connection, patient, now_ns)

    def _look_at_load(self, connection: Connection, patient: _Patient, now_ns: int) -> None:
        load, settings = connection.load, self._pool.settings
        limits = Limits(settings.topics_per_socket, settings.frames_per_socket,
                        settings.bytes_per_socket)
        used = limits.use(Seat(len(connection.topics), load.frames_per_s, load.bytes_per_s))
        if patient.crowding.look(now_ns, used, int(settings.crowded_after * SECOND)):
            self._pool.rotator.relieve(
                connection, f"it carries {load.frames_per_s:.0f} frames and "
                f"{load.bytes_per_s / 1e6:.1f} MB a second", now_ns)

    def _feel(self, connection: Connection, patient: _Patient, topic: Topic, now_ns: int) -> None:
        rhythm = RHYTHMS.get(topic.channel)
        if rhythm is None:
            return
        heard = connection.last_heard(topic)
        pulse = patient.pulses.get(topic)
        if pulse is None:
            clock = SilenceClock(rhythm, now_ns, self._pool.settings.silence_scale)
            patient.pulses[topic] = pulse = _Pulse(clock, 0)
        if heard != pulse.last_heard:
            pulse.last_heard = heard
            pulse.clock.heard(now_ns, is_rhythm=not pulse.is_dead)
            pulse.is_dead = pulse.asked_again = False
            self.trusted(connection, topic, "it spoke")
        elif pulse.clock.check(now_ns):
            self._silent(connection, topic, pulse, now_ns)

    def _measure_lateness(self, connection: Connection, now_ns: int) -> None:
        """How far the newest frame of a book stands behind the venue's stamp."""
        newest = None
        for route in connection.reader.routes.values():
            book = route.book
            if (book is not None and book.ts_venue_ms > 0 and route.depth_recv_ns
                    and book.ts_recv_ns == route.depth_recv_ns
                    and (newest is None or book.ts_recv_ns > newest.ts_recv_ns)):
                newest = book
        if newest is not None:
            connection.health.frame(now_ns, newest.ts_recv_ns - newest.ts_venue_ms * 1_000_000)

    # -- silence ----------------------------------------------------------------------------------

    def _silent(self, connection: Connection, topic: Topic, pulse: _Pulse, now_ns: int) -> None:
        silent_ns = now_ns - pulse.clock.since_ns
        pulse.silent_ns = now_ns
        connection.ping_now()
        if self._speaks_elsewhere(connection, topic):
            self._ask_again(connection, topic, pulse, now_ns)
            return
        why = f"silent for {silent_ns / SECOND:.1f} s"
        book = self._pool.books.get(topic.symbol) if topic.channel == "depth" else None
        if book is not None:
            book.suspect(why)
        if topic not in self._degraded:
            self._degraded[topic] = now_ns
            self._pool.tell_degraded(connection, topic, why, silent_ns)
        if book is not None:
            self._pool.repairer.probe(
                book, lambda answer: self._answered(connection, topic, pulse, answer))
        else:
            self._ask_again(connection, topic, pulse, now_ns)

    def _speaks_elsewhere(self, connection: Connection, topic: Topic) -> bool:
        for other in self._pool.homes_of(topic):
            pulse = self._patients[other].pulses.get(topic) if other in self._patients else None
            if (other is not connection and other.carries(topic) and pulse is not None
                    and pulse.last_heard and not pulse.clock.is_silent):
                return True
        return False

    @staticmethod
    def _ask_again(connection: Connection, topic: Topic, pulse: _Pulse, now_ns: int) -> None:
        pulse.asked_again = True
        connection.ask_again(topic)

    def _answered(self, connection: Connection, topic: Topic, pulse: _Pulse,
                  answer: Answer) -> None:
        """REST has said whether a silent book moved."""
        now_ns = time.monotonic_ns()
        if not pulse.clock.is_silent:
            return                             # it spoke meanwhile
        if answer is Answer.SAME:
            pulse.is_dead = False
            pulse.clock.excuse(now_ns)
            self.trusted(connection, topic, "REST knows nothing newer")
        elif answer is Answer.MOVED:
            pulse.is_dead = True
            self._ask_again(connection, topic, pulse, now_ns)
            pulse.clock.restart(now_ns)
        else:
            pulse.clock.restart(now_ns)        # asked anew after another bound

    def confirmed(self, connection: Connection, topic: Topic) -> None:
        """The venue said yes to a topic on a socket."""
        patient = self._patients.get(connection)
        pulse = patient.pulses.get(topic) if patient is not None else None
        if pulse is None or not pulse.asked_again:
            return
        pulse.asked_again = False
        if topic.channel == "depth":
            return                             # only its frames, or REST, can tell
        pulse.clock.excuse(time.monotonic_ns())
        self.trusted(connection, topic, "the venue confirmed the subscription")

    def trusted(self, connection: Connection, topic: Topic, why: str) -> None:
        """The topic is as it should be."""
        since_ns = self._degraded.pop(topic, None)
        if topic.channel == "depth":
            book = self._pool.books.get(topic.symbol)
            if book is not None and book.doubt is not None:
                connection.reader.trust(book)
        if since_ns is not None:
            self._pool.tell_recovered(connection, topic, why, time.monotonic_ns() - since_ns)

    def forget(self, topic: Topic) -> None:
        """Nobody wants the topic any more."""
        self._degraded.pop(topic, None)
