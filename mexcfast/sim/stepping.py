"""Step mode: move the market once, then wait until the clients have handled what it sent them.

"Handled" has to be chosen, because a socket alone does not tell:

pong     a WebSocket ping goes out behind the frames; its pong is the proof. Right for clients that
         answer pings where they read messages (aiohttp, hence ccxt and mexcfast). A client whose
         library answers pings in the background has only received the frame.
message  the client's next message on the socket. {"method":"sim.handled"} is one the exchange
         accepts without an answer; a keep-alive counts too.
control  POST /sim/handled, or Exchange.handled(), once for all clients.
sent     the bytes have left for the kernel; nothing is known of the client.

Only sockets that were sent a frame of a channel are waited for, so that several clients of one
exchange (two libraries to be compared, say) see each movement before any of them sees the next.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Literal, get_args

from mexcfast.sim import wire
from mexcfast.sim.session import Session
from mexcfast.sim.stream import Hub

Handled = Literal["pong", "message", "control", "sent"]
PING = 0x89


class Stepper:
    """Waits for clients on behalf of one exchange."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._tokens = itertools.count(1)
        self._control: asyncio.Future[None] | None = None

    def handled(self) -> None:
        """A client, or whoever speaks for all of them, is done."""
        if self._control is not None and not self._control.done():
            self._control.set_result(None)

    async def move(self, action: Callable[[], object], how: Handled, seconds: float) -> int:
        """Do it, then wait; returns how many sockets were sent something.

        TimeoutError when one of them has not handled it after `seconds`.
        """
        if how not in get_args(Handled):
            raise ValueError(f"handled {how!r}: one of {', '.join(get_args(Handled))}")
        before = {session: session.pushed for session in self.hub.sessions}
        # Before the action: an answer may come before this coroutine runs again.
        if how == "control":
            self._control = asyncio.get_running_loop().create_future()
        action()
        told = [
            session
            for session, pushed in before.items()
            if session.pushed != pushed
            and not session.half_open
            and not session.transport.is_closing()
        ]
        if told:
            async with asyncio.timeout(seconds):
                if how == "control" and self._control is not None:
                    await self._control
                else:
                    await asyncio.gather(*(self._wait(session, how) for session in told))
        return len(told)

    async def _wait(self, session: Session, how: Handled) -> None:
        if how == "message":
            await session.hears("message")
        elif how == "pong":
            token = f"step {next(self._tokens)}"
            heard = session.hears("pong " + token)
            session.write(wire.frame(PING, token.encode()))
            await heard
        else:
            transport = session.transport
            while transport.get_write_buffer_size() and not transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(0)
