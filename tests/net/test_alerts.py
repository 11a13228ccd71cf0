"""net/alerts: everybody is told, and nobody who is told can hold anything up."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
import pytest
from aiohttp import web

from loopback import Loopback
from mexcfast.errors import ConfigError
from mexcfast.net.alerts import AlertLevel, Alerts, Webhook
from net.everything import until

NOW = 1_700_000_000_000


class Receiver(Loopback):
    """An HTTP receiver on loopback; its behaviour is a list of statuses, or "hang"."""

    def __init__(self, *script: object) -> None:
        super().__init__(self._take, "/hook/{token}", "POST")
        self.script = list(script)
        self.bodies: list[dict[str, object]] = []
        self.seen = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}/hook/very-private-token"

    async def _take(self, request: web.Request) -> web.Response:
        self.seen += 1
        step = self.script.pop(0) if self.script else 200
        if step == "hang":
            await asyncio.sleep(3600)
        if step == 200:
            self.bodies.append(await request.json())
        return web.Response(status=int(step))


def told(story, *script):
    async def main():
        async with asyncio.timeout(30), Receiver(*script) as receiver:
            await story(receiver)
    asyncio.run(main())


def test_a_webhook_gets_typed_json():
    async def story(receiver):
        hook = Webhook(receiver.url, account="f00d")
        alerts = Alerts(hook)
        alerts.send(AlertLevel.CRITICAL, "manual", "tripped: why", NOW, "TRIPPED")
        await until(lambda: hook.posted == 1)
        assert receiver.bodies == [{"source": "mexcfast", "account": "f00d", "dropped": 0,
                                    "alerts": [{"level": "critical", "trigger": "manual",
                                                "text": "tripped: why", "ts_ms": NOW,
                                                "state": "TRIPPED", "count": 1}]}]
        await alerts.close()

    told(story)


def test_it_tries_again_and_gives_up():
    async def story(receiver):
        hook = Webhook(receiver.url, tries=3)
        hook(alert("a"))
        await until(lambda: hook.posted == 1)
        assert receiver.seen == 3
        hook(alert("b"))
        await until(lambda: hook.failed == 1)
        assert receiver.seen == 6
        hook(alert("c"))        # 4xx: this receiver will never take it
        await until(lambda: hook.failed == 2)
        assert receiver.seen == 7
        await hook.close()

    told(story, 500, 429, 200, 500, 502, 503, 404)


def test_an_alert_that_comes_while_the_session_closes_is_posted_too(monkeypatch):
    async def story(receiver):
        hook = Webhook(receiver.url)
        leave = aiohttp.ClientSession.__aexit__

        async def late(session, *how):
            if hook.posted == 1 and not hook._queue:
                hook(alert("late"))
            await leave(session, *how)

        monkeypatch.setattr(aiohttp.ClientSession, "__aexit__", late)
        hook(alert("early"))
        await until(lambda: hook.posted == 2)
        texts = [one["text"] for body in receiver.bodies for one in body["alerts"]]
        assert texts == ["early", "late"]
        await hook.close()

    told(story)


def alert(text):
    from mexcfast.net.alerts import Alert
    return Alert(AlertLevel.WARNING, "x", text, NOW)


def test_alike_are_counted_and_the_oldest_go_first():
    async def story(receiver):
        hook = Webhook(receiver.url, bound=2)
        for text in ("a", "a", "b", "c", "c", "c"):
            hook(alert(text))
        await until(lambda: hook.posted == 1)
        body = receiver.bodies[0]
        assert [(one["text"], one["count"]) for one in body["alerts"]] == [("b", 1), ("c", 3)]
        assert body["dropped"] == 1
        await hook.close()

    told(story)


def test_a_minute_has_a_limit():
    async def story(receiver):
        hook = Webhook(receiver.url, per_minute=2)
        for number in range(2):
            hook(alert(f"{number}"))
            await until(lambda number=number: hook.posted == number + 1)
        for number in range(50):
            hook(alert(f"more {number}"))
        await hook.close(grace_s=0.1)
        assert receiver.seen == 2

    told(story)


def test_a_receiver_that_hangs_holds_nobody_up(caplog):
    async def story(receiver):
        hook, heard = Webhook(receiver.url, timeout_s=0.2, tries=2), []
        alerts = Alerts(hook, heard.append)
        loop = asyncio.get_running_loop()
        turns = 0

        def turn():
            nonlocal turns
            turns += 1

        for number in range(20):
            alerts.send(AlertLevel.INFO, "x", f"{number}", NOW)
            loop.call_soon(turn)
        assert len(heard) == 20, "callbacks are plain calls"
        await until(lambda: receiver.seen >= 1)
        assert turns == 20
        await until(lambda: hook.failed == 1)
        assert receiver.seen == 2
        await alerts.close()

    with caplog.at_level(logging.DEBUG):
        told(story, "hang", "hang")
    assert "very-private-token" not in caplog.text and "127.0.0.1" in caplog.text


def test_a_dead_receiver_and_a_sink_that_raises(caplog):
    async def story():
        hook, heard = Webhook("http://127.0.0.1:9/very-private-token", tries=1, timeout_s=2), []

        def raises(alert):
            raise RuntimeError("mine")

        alerts = Alerts(raises, hook, heard.append)
        alerts.send(AlertLevel.CRITICAL, "manual", "x" * 5000, NOW)
        assert len(heard) == 1 and len(heard[0].text) == 1000
        await until(lambda: hook.failed == 1)
        assert "very-private-token" not in repr(hook)
        await alerts.close()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(story())
    assert "very-private-token" not in caplog.text
    assert any(record.name == "mexcfast.alerts" and record.levelno == logging.CRITICAL
               for record in caplog.records)


def test_without_a_loop_it_is_only_counted():
    hook = Webhook("http://127.0.0.1:9/x")
    Alerts(hook).send(AlertLevel.INFO, "x", "y", NOW)
    assert hook.dropped == 1


@pytest.mark.parametrize("wrong", [{"url": "ftp://x"}, {"url": "http://"}, {"tries": 0},
                                   {"timeout_s": 0}, {"bound": 0}, {"per_minute": 0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError) as caught:
        Webhook(**{"url": "http://h/token", **wrong})
    assert "token" not in str(caught.value)


def test_json_of_an_alert_has_no_surprises():
    from dataclasses import asdict
    assert json.loads(json.dumps(asdict(alert("é")))) == asdict(alert("é"))
