"""200 contracts at once, each with a flow of its own: all versions arrive, all books are true."""

from __future__ import annotations

from mexcfast.sim import Exchange
from sim.sim_support import Client, DictBook, play

CONTRACTS = 200
FRAMES = 6_000


def test_every_version_of_200_contracts_arrives() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        names = list(venue.venue.markets)
        assert len(names) == CONTRACTS
        socket = await client.socket()
        for name in names:
            await socket.send("sub.depth", {"symbol": name, "compress": False})
        books: dict[str, DictBook] = {}
        for _ in names:
            await socket.channel("rs.sub.depth")
        for name in names:
            books[name] = DictBook()
            books[name].load((await client.market(f"depth/{name}"))["data"])
        venue.updates_per_second = 25
        seen = dict.fromkeys(names, 0)
        for _ in range(FRAMES):
            frame = await socket.channel("push.depth")
            assert books[frame["symbol"]].apply(frame["data"]) == "applied"
            seen[frame["symbol"]] += 1
        venue.updates_per_second = 0
        left = sum(venue.book(name).version - books[name].version for name in names)
        for _ in range(left):
            frame = await socket.channel("push.depth")
            assert books[frame["symbol"]].apply(frame["data"]) == "applied"
        for name in names:
            books[name].check(venue, name)
        shares = sorted(seen.values())
        assert shares[0] > 0 and shares[-1] < 20 * shares[0]  # nobody starves, nobody floods
        assert venue.state()["frames_sent"] == FRAMES + left
        await socket.ws.close()

    play(scene, symbols=CONTRACTS, levels=12, seconds=150)
