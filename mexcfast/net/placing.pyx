"""Placing one order: from the wish to its bytes with the kernel, from the answer to its outcome.

The part of net/orders that every order passes, compiled for the same reason as net/launch. Here is
only what happens when nothing is in the way; a budget to wait for, a lane that is off, an order
that stays in doubt are Orders' own.
"""

cimport cython

from mexcfast.core.intent cimport OrderIntent, plain_order
from mexcfast.core.tracker cimport TrackedOrder
from mexcfast.net.launch cimport Flight, Launcher

import asyncio
import logging
from functools import partial

from mexcfast.core.intent import snap_price
from mexcfast.core.throttle import Lane
from mexcfast.core.tracker import Phase
from mexcfast.errors import ConnectionLost, IntentError, NetworkError, NotReady
from mexcfast.net.order_memory import entry_of
from mexcfast.types import Accepted, OpenType, OrderType, Unknown

log = logging.getLogger("mexcfast.net")

# An enum's own look-up is slow.
cdef object OPEN = Lane.OPEN, REDUCE = Lane.REDUCE
cdef object LIMIT = OrderType.LIMIT, ISOLATED = OpenType.ISOLATED
cdef object REJECTED = Phase.REJECTED, DOUBTFUL = Phase.UNKNOWN
cdef tuple MARKETS = (OrderType.MARKET, OrderType.MARKET_TO_LIMIT)


@cython.auto_pickle(False)
cdef class Placing:
    """A base of net/orders.Orders, which says what the attributes mean."""

    # -- a checked wish --------------------------------------------------------------------------

    def intent(self, symbol, side, quantity, price=None, *, type=LIMIT, open_type=ISOLATED,
               leverage=None, reduce_only=False, client_order_id=None, **more):
        """A checked order with its bytes, not sent: send() it later, or never.

        Arguments and exceptions as submit()'s.
        """
        return self.wish(symbol, side, quantity, price, type, open_type, leverage, reduce_only,
                         client_order_id, more)

    cdef OrderIntent wish(self, object symbol, object side, object quantity, object price,
                          object type, object open_type, object leverage, object reduce_only,
                          object client_order_id, dict more):
        contract = self.contracts.get(symbol)
        if contract is None:
            raise IntentError("symbol", symbol, "a contract in Orders.contracts")
        if price is None and self._reference_price is not None and type in MARKETS:
            reference = self._reference_price(symbol)
            price = None if reference is None else snap_price(contract, reference)
        if client_order_id is None and reduce_only is False and not more:
            return plain_order(contract, side, quantity, price, type, open_type, leverage,
                               self.ids.mint())
        return OrderIntent(contract, side, quantity, price, type=type, open_type=open_type,
                           leverage=leverage, reduce_only=reduce_only,
                           client_order_id=client_order_id or self.ids.mint(), **more)

    # -- placing it ------------------------------------------------------------------------------

    def submit_nowait(self, symbol, side, quantity, price=None, *, leverage=None, type=LIMIT,
                      open_type=ISOLATED, reduce_only=False, client_order_id=None, callback=None,
                      wait=None, key=None, max_age_ms=None, keep=False, **more):
        """Place one order without waiting: the order itself comes back at once.

        callback: called with the outcome. The rest as in submit(), and so are the exceptions:
        they come before anything is sent. contracts must be loaded.
        """
        cdef OrderIntent intent = self.wish(symbol, side, quantity, price, type, open_type,
                                            leverage, reduce_only, client_order_id, more)
        cdef TrackedOrder order = self._expect(intent)
        cdef Flight flight
        try:
            flight = self.launch(intent, order)
        except Exception as error:
            asyncio.get_running_loop().call_soon(self._told_of, intent, callback, error)
            return order
        if flight is None:
            self._send_beside(intent, order, callback, wait, key, max_age_ms, keep)
        else:
            self._tasks.add(flight.answered)
            flight.answered.add_done_callback(partial(self._arrived, flight, callback))
        return order

    def send(self, OrderIntent intent not None, *, wait=None, key=None, max_age_ms=None,
             keep=False):
        """Place an order that has been made by intent(); the limits are checked now."""
        return self._place(intent, None, None, wait, key, max_age_ms, keep)

    async def _place(self, OrderIntent intent, tuple asked, dict more, wait, key, max_age_ms,
                     keep):
        """submit() and send(). asked, more: intent()'s arguments, where there is no intent yet."""
        if intent is None:
            if not self.contracts:
                await self.load_contracts()
            (symbol, side, quantity, price, type, open_type, leverage, reduce_only,
             client_order_id) = asked
            intent = self.wish(symbol, side, quantity, price, type, open_type, leverage,
                               reduce_only, client_order_id, more)
        cdef TrackedOrder order = self._expect(intent)
        cdef Flight flight = self.launch(intent, order)
        if flight is None:
            return await self._send(intent, order, wait, key, max_age_ms, keep)
        try:
            await flight.answered
        except NetworkError:
            pass                        # landed() says what it means
        except BaseException as error:
            flight.drop()
            self._stopped(order, flight.ts_sent_ms, error)
            raise
        return self.landed(flight)

    cpdef TrackedOrder _expect(self, OrderIntent intent):
        """Check what needs the present, and put the order on the list."""
        cdef str name = intent.client_order_id
        cdef TrackedOrder known
        if not self.is_ready:
            raise NotReady("orders have a journal: await Orders.start() before trading")
        if self._only_when_ready and intent.opens and not intent.reduce_only and (
                not self.mirror.is_ready):
            raise NotReady(f"the account's mirror is {self.mirror.state.value}; orders that add "
                           "risk are allowed when it is ready")
        known = self.tracker.find(name)
        if known is not None:
            if known.phase is not REJECTED or known.report is not None:
                raise IntentError("client_order_id", name,
                                  "an id of no order that lives, lived or is waiting for its fate")
            self.tracker.forget(known)      # proven never to have been: the id is free
        if self.limits is not None:
            self.exposure.check(self.limits, intent, self.position_mode)
        return self.tracker.expect(name, intent.contract.symbol, intent.side, intent.quantity,
                                   intent.price, intent.type)

    cdef Flight launch(self, OrderIntent intent, TrackedOrder order):
        """Send an order during this call when nothing stands in its way; None: _send() it."""
        cdef Launcher executor = self._executor
        cdef Flight flight = None
        if self.repeat_mistimed:
            return None
        try:
            flight = executor.ready("create", intent.body, intent.contract.symbol,
                                    intent.client_order_id, None,
                                    OPEN if intent.opens and not intent.reduce_only else REDUCE)
            if flight is None:
                return None
            if self.journal is not None:
                try:
                    self.journal.send(entry_of(intent, flight.ts_sent_ms))
                except BaseException:
                    executor.undo(flight)
                    raise
            order.ts_sent_ms = flight.ts_sent_ms
            executor.depart(flight)
        except BaseException as error:
            self._stopped(order, order.ts_sent_ms, error)
            raise
        return flight

    # -- its outcome -----------------------------------------------------------------------------

    def _arrived(self, Flight flight not None, callback, answered):
        """The answer to a submit_nowait() that had left at once."""
        self._tasks.discard(answered)
        if answered.cancelled():        # the loop is shut down
            self.report("create", None, self._doubt(Unknown(
                ConnectionLost("the call did not return"), flight.symbol, flight.client_order_id,
                ts_sent_ms=flight.ts_sent_ms)))
            return
        outcome = self.landed(flight)
        if callback is not None:
            self._tell(callback, outcome)

    cdef object landed(self, Flight flight):
        outcome = (<Launcher>self._executor).landed(flight)
        if self.journal is None and type(outcome) is Accepted:
            self.tracker.outcome(outcome)
        else:
            outcome = self._placed(outcome, flight.ts_sent_ms)
        if self.on_outcome is not None:
            self.report("create", flight.began_ns, outcome)
        return outcome

    def report(self, what, began_ns, outcome):
        """The outcome, and on_outcome is told of it."""
        if self.on_outcome is not None:
            try:
                self.on_outcome(what, began_ns, outcome)
            except Exception:       # it must not cost an order its outcome
                log.exception("on_outcome raised")
        return outcome

    # -- what the tracker tells ------------------------------------------------------------------

    cpdef object _changed(self, TrackedOrder order):
        """An own order has changed, by either river."""
        cases = self.resolver.cases
        if cases:
            case = cases.get(order.client_order_id or "")
            if case is not None and order.phase is not DOUBTFUL and case.what == "create":
                told = self.resolver.heard(case)
                if told is not None:
                    self.resolver.finish(case, told)
        if order.report is None and type(order.outcome) is Accepted:
            self.reconciler.expect(order)
        if self.journal is not None and order.is_final and order.order_id is not None:
            self._heir_ended(order.order_id)
        if order.waiting is not None:
            order.wake()
        for told_of in self.on_change:
            self._tell(told_of, order)

    @staticmethod
    def _tell(callback, what):
        """Call out; a fault of the callback is reported and stops nothing."""
        try:
            callback(what)
        except Exception:
            log.exception("a callback of Orders raised")
