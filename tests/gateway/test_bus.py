"""gateway/bus without a bus: addresses and their secrets, the bounded outbox."""

from __future__ import annotations

import asyncio

import pytest

from mexcfast.errors import ConfigError, MexcfastError, MissingExtra
from mexcfast.gateway import Consumer, Gateway, GatewaySettings
from mexcfast.gateway.bus import Address, Bus, Outbox

SECRET = "hunter2"


@pytest.mark.parametrize(("url", "servers", "who"), [
    ("nats://h", ("nats://h:4222",), (None, None, None)),
    ("h:5000", ("nats://h:5000",), (None, None, None)),
    ("tls://u:p%40w@h:1", ("tls://h:1",), ("u", "p@w", None)),
    ("nats://tok%2Fen@h", ("nats://h:4222",), (None, None, "tok/en")),
    ("nats://u:p@a, nats://u:p@b:7", ("nats://a:4222", "nats://b:7"), ("u", "p", None)),
    ("nats://[::1]:9", ("nats://[::1]:9",), (None, None, None)),
])
def test_addresses(url, servers, who):
    address = Address.parse(url)
    assert address.servers == servers and (address.user, address.password, address.token) == who
    assert str(address) == ",".join(servers)
    assert not any(secret in repr(address) for secret in filter(None, who[1:]))


@pytest.mark.parametrize("url", [
    "", " , ", f"http://u:{SECRET}@h", f"nats://u:{SECRET}@", f"nats://u:{SECRET}@h:port",
    f"nats://u:{SECRET}/x@h", f"nats://u:{SECRET},y@h", f"nats://u:{SECRET}@h/path",
    f"nats://u:{SECRET}@a,nats://u:other@b", f"u:{SECRET}@h:99999", f"nats://{SECRET}?@h",
])
def test_wrong_addresses_are_refused_without_their_secrets(url):
    with pytest.raises(ConfigError) as refused:
        Address.parse(url)
    assert SECRET not in str(refused.value) and SECRET not in repr(refused.value)
    assert refused.value.__cause__ is None


def test_one_set_of_credentials(tmp_path):
    seed = tmp_path / "seed"
    seed.write_text("SU" + "A" * 56)
    assert Address.parse("h", nkey=seed).nkey == str(seed)
    for more in ({"creds": seed}, {"nkey": seed}):
        with pytest.raises(ConfigError, match="more than one set"):
            Address.parse(f"nats://u:{SECRET}@h", **more)
    with pytest.raises(ConfigError, match="more than one set"):
        Address.parse("h", creds=seed, nkey=seed)
    with pytest.raises(ConfigError, match="creds is 'nowhere'; allowed: a file that exists"):
        Address.parse("h", creds="nowhere")


class Wire:
    """Instead of a Bus: up or down, and perhaps it refuses."""

    def __init__(self):
        self.is_up = True
        self.sent = []
        self.error = None

    async def publish(self, subject, data):
        if self.error is not None:
            raise self.error
        self.sent.append((subject, data))


def test_the_outbox_keeps_order_and_its_bound():
    async def scene():
        wire = Wire()
        box = Outbox(wire, 100)
        for number in range(3):
            box.put("s", bytes([number]))
        await box.flush()
        assert [data[0] for _, data in wire.sent] == [0, 1, 2] and box.sent == box.sent_bytes == 3
        wire.is_up = False
        for _ in range(10):
            box.put("s", b"x" * 10)
        await box.flush()
        assert box.bytes_waiting == 100 and not box.dropped and len(wire.sent) == 3
        box.put("s", b"y")
        assert (box.bytes_waiting, box.dropped) == (0, 11), "all of it: it would be old"
        box.put("s", b"z")
        wire.is_up = True
        await box.flush()
        assert wire.sent[3:] == [("s", b"z")]
        wire.error = ValueError("too long")
        box.put("s", b"long")
        await box.flush()
        assert box.dropped == 12 and box.bytes_waiting == 0

    asyncio.run(scene())


def test_the_outbox_runs_until_it_is_cancelled():
    async def scene():
        wire = Wire()
        box = Outbox(wire, 100)
        task = asyncio.create_task(box.run())
        box.put("s", b"1")
        async with asyncio.timeout(30):
            while not wire.sent:      # noqa: ASYNC110
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())


@pytest.mark.parametrize(("make", "says"), [
    (lambda: Gateway("h", shard="2/2"), "shard is '2/2'"),
    (lambda: Gateway("h", channels=["personal.order"]), "channel is 'personal.order'"),
    (lambda: Gateway("h", channels=[]), "channels is empty"),
    (lambda: Gateway("h", share=0), "share is 0"),
    (lambda: Gateway(""), "NATS address is empty"),
    (lambda: Consumer("h", silent_after=0), "silent_after is 0"),
    (lambda: GatewaySettings(beat_every=0), "beat_every is 0"),
    (lambda: GatewaySettings(beat_every=61), "beat_every is 61"),
    (lambda: GatewaySettings(buffer_bytes=True), "buffer_bytes is True"),
])
def test_wrong_arguments(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


def test_budgets_are_shared():
    for share, wanted in ((1, (10, 2000)), (4, (2, 2000)), (20, (1, 4000))):
        endpoint = Gateway("h", share=share).client.endpoint
        from mexcfast.core.rest import find

        assert endpoint.limit(find("depth")) == wanted


def test_without_nats_py(monkeypatch):
    async def scene():
        bus = Bus(Address.parse("h"), "x", on_up=lambda again: None, on_down=lambda: None)
        with pytest.raises(MissingExtra, match=r"mexcfast\[gateway\]") as refused:
            await bus.open()
        assert isinstance(refused.value, MexcfastError)
        await bus.close()

    monkeypatch.setitem(__import__("sys").modules, "nats.aio.client", None)
    asyncio.run(scene())
