"""Moves all topics of one socket to a new one: make before break.

    state     what is awaited                                      then
    OPENING   the new socket is open, every topic confirmed on it  PROVING
    PROVING   every topic proven: both sockets brought the same    DONE
              event, or neither spoke, or only the new one, for
              rotation_overlap
    DONE      the old socket lets go of the topics and is closed   -

While both carry a topic an arbiter (core/arbiter) tells each event once; for depth the versions do.
Not whole within rotation_timeout: the new socket is closed and the old one keeps everything, to be
tried again later. When the old one is lost meanwhile, the new one takes over as soon as it can.

Why: the venue closes sockets at 24 h (rotate), and a sick socket is left (drain). One at a time;
others wait, and a drained one is not drained again for a while: the venue itself may be ill.
A socket that has carried too much for a while (relieve) keeps half of its topics and lives on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from mexcfast.core.placement import relief
from mexcfast.core.topics import Topic
from mexcfast.net.connection import SECOND, Connection, TopicState

if TYPE_CHECKING:
    from mexcfast.net.pool import Pool

PATIENCE = 5         # times rotation_timeout between two tries, or two drains


class Phase(Enum):
    """Where a rotation stands."""

    OPENING = "opening"
    PROVING = "proving"
    DONE = "done"


@dataclass(slots=True)
class _Move:
    old: Connection
    new: Connection
    why: str
    phase: Phase
    begun_ns: int
    phase_ns: int
    some: frozenset[Topic] | None = None     # only these topics move; None: all, and it is closed

    @property
    def moving(self) -> list[Topic]:
        """What both sockets carry because of this."""
        return [topic for topic in self.old.topics if topic in self.new.topics
                and (self.some is None or topic in self.some)]


class Rotator:
    """The rotations of one pool. done, given_up: counts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._move: _Move | None = None
        self._next_drain_ns = 0
        self._next_relief_ns = 0
        self.done = 0
        self.given_up = 0

    @property
    def phase(self) -> Phase | None:
        """Of the rotation under way; None when there is none."""
        return self._move.phase if self._move is not None else None

    @property
    def _patience_ns(self) -> int:
        return int(PATIENCE * self._pool.settings.rotation_timeout * SECOND)

    def rotate(self, connection: Connection, now_ns: int) -> None:
        """Replace a socket because of its age; later when another one is under way."""
        if self._move is None and connection.topics:
            self._begin(connection, f"open for {connection.lived_ns / SECOND:.0f} s", now_ns)

    def drain(self, connection: Connection, why: str, now_ns: int) -> None:
        """Replace a sick socket; nothing happens when the last drain is not long ago."""
        if self._move is None and connection.topics and now_ns >= self._next_drain_ns:
            self._next_drain_ns = now_ns + int(self._pool.settings.rotation_timeout * SECOND)
            self._begin(connection, why, now_ns)

    def relieve(self, connection: Connection, why: str, now_ns: int) -> None:
        """Move half of a crowded socket's topics to a new one; later when a move is under way."""
        topics = relief(list(connection.topics))
        if self._move is None and topics and now_ns >= self._next_relief_ns:
            self._next_relief_ns = now_ns + int(self._pool.settings.crowded_after * SECOND)
            self._begin(connection, why, now_ns, frozenset(topics))

    def _begin(self, old: Connection, why: str, now_ns: int,
               some: frozenset[Topic] | None = None) -> None:
        new = self._pool.open_connection()
        old.is_leaving = True
        self._move = _Move(old, new, why, Phase.OPENING, now_ns, now_ns, some)
        for topic in list(old.topics):
            if some is None or topic in some:
                self._pool.attach(new, topic)

    def advance(self, now_ns: int) -> None:
        """One look at the rotation under way."""
        move = self._move
        if move is None:
            return
        settings = self._pool.settings
        if not move.new.topics:
            self._give_up(move, now_ns)              # everything was unsubscribed meanwhile
            return
        if move.phase is Phase.OPENING and self._is_confirmed(move):
            move.phase, move.phase_ns = Phase.PROVING, now_ns
        if move.phase is Phase.PROVING and move.new.is_open and (
                not move.old.is_open or all(self._is_proven(move, topic, now_ns)
                                            for topic in move.new.topics)):
            self._finish(move, now_ns)
        elif now_ns - move.begun_ns > settings.rotation_timeout * SECOND:
            self._give_up(move, now_ns)

    @staticmethod
    def _is_confirmed(move: _Move) -> bool:
        """Every topic stands on the new socket as well as it did on the old one."""
        return move.new.is_open and all(
            move.new.carries(topic) or (state is TopicState.REFUSED
                                        and not move.old.carries(topic))
            for topic, state in move.new.topics.items())

    def _is_proven(self, move: _Move, topic: Topic, now_ns: int) -> bool:
        book = self._pool.books.get(topic.symbol) if topic.channel == "depth" else None
        if book is not None and book.held_ns:
            return False                  # what it waits for may be under way on the old socket
        if self._pool.brought_the_same(topic, move.old, move.new):
            return True
        if now_ns - move.phase_ns < self._pool.settings.rotation_overlap * SECOND:
            return False
        since_ns = time.time_ns() - (now_ns - move.phase_ns)
        return move.new.last_heard(topic) > 0 or move.old.last_heard(topic) < since_ns

    def _finish(self, move: _Move, now_ns: int) -> None:
        self._move = None
        move.phase = Phase.DONE
        moving = move.moving
        for topic in moving:
            self._pool.detach(move.old, topic)
        if move.some is None or not move.old.topics:
            self._pool.drop_connection(move.old)
        else:
            move.old.is_leaving = False
        self.done += 1
        self._pool.tell_rotated(move.old, move.new, move.why, len(moving),
                                now_ns - move.begun_ns)

    def _give_up(self, move: _Move, now_ns: int) -> None:
        self._move = None
        self.given_up += 1
        move.old.is_leaving = False
        if move.some is None:
            move.old.rotate_at_ns = now_ns + self._patience_ns
        for topic in move.moving:
            self._pool.detach(move.new, topic)
        if move.new.topics:
            return                        # topics subscribed meanwhile live there: it stays
        self._pool.drop_connection(move.new)
