"""Event contracts: stakes, their ends, and the definitions that are pushed (7.12, 9.8)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mexcfast.sim import Exchange
from mexcfast.sim.checks import Refused
from sim.offline import World
from sim.sim_support import Client, play

SYMBOL = "ETH_USDT"


@pytest.mark.parametrize(
    ("side", "moved", "result", "profit"),
    [(1, 3, "PROFIT", 8), (1, -3, "LOSS", -10), (2, -3, "PROFIT", 8), (2, 0, "DRAW", 0)],
)
def test_a_stake_ends_with_the_index_price(
    side: int, moved: int, result: str, profit: int
) -> None:
    world = World(symbols=(SYMBOL,))
    venue, me = world.venue, world.me
    market, had, total = venue.markets[SYMBOL], me.cash["USDT"], venue.total_money()
    market.pinned = True
    opened = venue.events.open(
        me, market, side, Decimal(10), pay_rate=Decimal("0.8"), seconds=2
    )
    assert me.cash["USDT"] == had - 10
    index = market.contract.price(market.index_tick + moved)
    world.pass_time(1_000)
    assert opened.id in venue.events.open_positions
    told = world.told(lambda: (venue.move_prices(SYMBOL, index=index), world.pass_time(1_000)))
    (data,) = [data for channel, data in told if channel == "event.contract.position"]
    assert (data["state"], data["closeResult"], data["pnlAmount"]) == ("3", result, profit)
    assert data["closePrice"] == index and data["side"] == str(side)
    assert data["rewardAmount"] == max(0, profit)
    assert me.cash["USDT"] == had + profit and not venue.events.open_positions
    assert venue.total_money() == total + profit  # stakes go to and come from elsewhere
    assert sum(one.amount for one in me.transfers if one.currency == "USDT") == me.cash["USDT"]


def test_bad_stakes_are_refused() -> None:
    world = World(symbols=(SYMBOL,))
    events, market = world.venue.events, world.venue.markets[SYMBOL]
    for code, side, amount, more in (
        (2001, 3, "5", {}), (1004, 1, "4", {}), (1004, 1, "501", {}), (1004, 1, "5.001", {}),
        (600, 1, "5", {"seconds": 0}), (600, 1, "5", {"pay_rate": Decimal(0)}),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            events.open(world.me, market, side, Decimal(amount), **more)
        assert refused.value.code == code
    world.me.cash["USDT"] = Decimal(6)
    events.open(world.me, market, 1, Decimal(5))
    with pytest.raises(Refused) as refused:
        events.open(world.me, market, 1, Decimal(5))
    assert refused.value.code == 2005


def test_definitions_are_pushed_when_a_contract_changes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.send("sub.event.contract")
        await socket.channel("rs.sub.event.contract")
        venue.change_contract(SYMBOL, api_allowed=False)
        push = await socket.channel("push.event.contract")
        assert push["symbol"] == push["data"]["symbol"] == SYMBOL
        contract = venue.venue.markets[SYMBOL].contract
        assert push["data"]["contractId"] == str(contract.id)
        assert push["data"]["investMinAmount"] < push["data"]["investMaxAmount"]
        await socket.send("unsub.event.contract")
        await socket.channel("rs.unsub.event.contract")
        await socket.ws.close()

    play(scene)
