"""A gateway in a process of its own, to be killed.

gateway_process.py JSON, with the arguments of Gateway, the exchange's address as `rest_url` and
its settings as `settings`. Prints "here" when it publishes; ends when its standard input does. The
exchange's limits are off, and so are the client's.
"""

from __future__ import annotations

import asyncio
import json
import sys

from mexcfast.core.rest import Endpoint, find
from mexcfast.gateway import Gateway, GatewaySettings


def endpoint_at(rest_url: str) -> Endpoint:
    """Without the venue's windows for books."""
    return Endpoint.at(rest_url, limits={find(name).group: (1000, 1000)
                                         for name in ("depth", "depth_commits")})


async def main(arguments: dict) -> None:
    rest_url, settings = arguments.pop("rest_url"), arguments.pop("settings", {})
    async with Gateway(endpoint=endpoint_at(rest_url), settings=GatewaySettings(**settings),
                       **arguments):
        print("here", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
