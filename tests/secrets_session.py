"""A whole trading session whose every word is kept, for test_secrets: what could carry a key out.

secrets_session.py REST_URL FOLDER [planted]; the keys come as two lines on stdin. Everything logs
at DEBUG, asyncio in its debug mode too. It trades, records, trips the kill switch, provokes errors
of every kind and prints their tracebacks with causes, the repr of every object of ours that lives,
and a dump of all threads. planted: instead it leaks on purpose, one way each, to try the search.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import logging
import pickle
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import mexcfast as mx
from mexcfast import topics
from mexcfast.core.rest import Endpoint
from mexcfast.net.alerts import Webhook
from mexcfast.types import BackType, TriggerType

SYMBOL = "BTC_USDT"
UNTOUCHED = mx.KillSwitchSettings(max_unknown=None, unreadable=None, signature_run=None, edge=None)


async def provoke(what: str, call: Any) -> None:
    """An error, printed as a program that fell over would."""
    try:
        result = call()
        if asyncio.iscoroutine(result):
            result = await result
        print(what, "->", repr(result), str(result))
        error = getattr(result, "error", None)
        if error is not None:
            print("".join(traceback.format_exception(error)), repr(error.__dict__))
    except Exception as error:
        logging.getLogger("app").exception("provoked: %s", what)
        print(what, "raised", repr(error), getattr(error, "__dict__", None))
        for inner in (error.__cause__, error.__context__):
            if inner is not None:
                print("  because of", repr(inner), getattr(inner, "__dict__", None))


async def control(url: str, **fault: Any) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        await session.post(f"{url}/sim/faults", data=json.dumps(fault))


async def trade(url: str, key: str, secret: str, folder: Path, lane: str) -> mx.Client:
    """One client's life; it is returned closed, to be looked at."""
    endpoint = Endpoint.at(url, recv_window_s=1, timeout_ms=500)
    client = mx.Client(endpoint, key, secret, journal=folder / f"orders-{lane}",
                       kill_switch=UNTOUCHED, lane=lane,  # type: ignore[arg-type]
                       alerts=[Webhook("http://127.0.0.1:9/", tries=1)])
    async with client:
        recorder = client.record(folder / f"tape-{lane}", private=True, orders="full")
        await client.start()
        client.subscribe(mx.Listener(), [topics.depth(SYMBOL), topics.deals(SYMBOL)])
        book = await client.book(SYMBOL)
        tick = client.orders.contracts[SYMBOL].tick_size
        price = tick * (int(book.best_bid / float(tick)) - 500)
        orders = client.orders
        placed = await orders.submit(SYMBOL, mx.Side.OPEN_LONG, 1, price, leverage=20, wait=True)
        print(repr(placed), repr(orders.find(placed.client_order_id or "")))
        await orders.amend(SYMBOL, placed.order_id or 0, price + tick, 2, wait=True)
        await orders.submit_batch([orders.intent(SYMBOL, mx.Side.OPEN_LONG, 1, price, leverage=20)
                                   for _ in range(2)], wait=True)
        await client.conditional.plan.place(SYMBOL, mx.Side.OPEN_LONG, 1, price,
                                            TriggerType.AT_OR_BELOW, price, leverage=20, wait=True)
        await client.conditional.trailing.place(SYMBOL, mx.Side.OPEN_LONG, 1, BackType.PERCENTAGE,
                                                "0.02", leverage=20, wait=True)
        for kind, more in (
                ("http_status", {"status": 500, "after_execute": True}), ("lose_answer", {}),
                ("hang", {"seconds": 1.0}), ("garble_answer", {}), ("truncate_answer", {}),
                ("refuse", {"code": 602}), ("refuse", {"code": 402}), ("throttle", {}),
                ("html", {"status": 502})):
            await control(url, kind=kind, path="order/create", **more)
            await provoke(f"create {kind}", lambda: orders.submit(
                SYMBOL, mx.Side.OPEN_LONG, 1, price, leverage=20, wait=True))
            read = "account/assets"
            await control(url, kind=kind, path=read, **{**more, "count": 3})
            await provoke(f"read {kind}", client.account.balances)
            await control(url, kind="clear")
        await provoke("a price off the tick", lambda: orders.submit(
            SYMBOL, mx.Side.OPEN_LONG, 1, "0.00001", leverage=20))
        await control(url, kind="cut")
        await control(url, kind="clock_jump", ms=5000)
        await provoke("after a jump", client.account.balances)
        await control(url, kind="clock_jump", ms=-5000)
        async with asyncio.timeout(60):
            await orders.resolver.until_empty()
            await client.trader.ready.wait()
        client.kill_switch.trip("a look for secrets")
        async with asyncio.timeout(60):
            await client.kill_switch.until_safe()
        look_around(client)
        await recorder.stop()
    return client


async def fail(url: str, key: str, secret: str) -> None:
    """Everything that keys can do wrong."""
    async with mx.Client(url, key, secret + "x") as client:
        await provoke("wrong secret, REST", client.account.balances)
        await provoke("wrong secret, login", client.start)
    async with mx.Client("http://127.0.0.1:9", key, secret) as client:
        await provoke("nobody there", client.account.balances)
        await provoke("nobody there, login", lambda: asyncio.wait_for(client.start(), 0.5))
    await provoke("a key half", lambda: mx.Client(url, key))
    await provoke("a key that cannot be one", lambda: mx.Client(url, key + "\n", secret))
    signer = mx.Signer(key, secret)
    await provoke("pickle", lambda: pickle.dumps(signer))
    await provoke("a time that is none", lambda: signer.sign(-1, b""))
    print(repr(signer), str(signer), dir(signer))


def look_around(client: mx.Client) -> None:
    """The repr of all that is ours and lives."""
    seen: set[int] = set()
    for one in [*gc.get_objects(), client, client._executor._signer]:
        if str(type(one).__module__).partition(".")[0] == "mexcfast" and id(one) not in seen:
            seen.add(id(one))
            with suppress(Exception):
                print(repr(one), str(one))
    print(len(seen), "objects of ours")
    for budget in client._executor.queue():
        print(budget)
    faulthandler.dump_traceback(all_threads=True)
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stdout)
        print(repr(task))


def plant(key: str, secret: str, folder: Path) -> None:
    """Leaks of each kind that the search must find."""
    import zlib

    print("planted", secret)
    logging.getLogger("app").debug("planted %s", key)
    (folder / "planted.bin").write_bytes(b"x" * 100 + zlib.compress(
        mx.Signer(key, secret).sign(1_700_000_000_000, b"{}").encode()))


async def main(url: str, folder: Path, planted: bool) -> None:
    key, secret = (sys.stdin.readline().strip() for _ in range(2))
    asyncio.get_running_loop().set_debug(True)
    asyncio.get_running_loop().slow_callback_duration = 0.001       # it logs what took longer
    if planted:
        plant(key, secret, folder)
    else:
        for lane in ("auto", "off"):
            look_around(await trade(url, key, secret, folder, lane))
        await fail(url, key, secret)
    print("the session is over")


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr,
                        format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), "planted" in sys.argv[3:]))
