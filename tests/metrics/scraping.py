"""What metrics' tests share: stories on the exchange in the box, and real scrapes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

import mexcfast as mx
from mexcfast.sim import Exchange

BTC, ETH = "BTC_USDT", "ETH_USDT"


class Scrape:
    """One scrape: scrape("mexcfast_frames_total", stream="public") is a value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.values = {(sample.name, frozenset(sample.labels.items())): sample.value
                       for family in self.families for sample in family.samples}

    def __call__(self, name: str, **labels: str) -> float:
        return self.values[name, frozenset(labels.items())]

    def all(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        return {labels: value for (known, labels), value in self.values.items() if known == name}


async def scrape(url: str | None) -> Scrape:
    assert url is not None
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return Scrape(await answer.text())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def on_exchange(story: Any, *, client: dict[str, Any] | None = None, **settings: Any) -> None:
    """Run story(venue, client) on an exchange that moves only when it is stepped."""
    async def told() -> None:
        made = {"seed": 3, "symbols": (BTC, ETH), "merge_ms": 0, "updates_per_second": 0,
                "levels": 50} | settings
        async with (asyncio.timeout(120), Exchange(**made) as venue,
                    mx.Client(venue.rest_url, venue.access_key, venue.secret,
                              **(client or {})) as me):
            await story(venue, me)

    asyncio.run(told())
