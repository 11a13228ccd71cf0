"""Fan-out: processes that publish the market to NATS, and consumers with the same books.

    mexcfast gateway --nats nats://127.0.0.1:4222 --processes 4

    async with mx.gateway.Consumer("nats://127.0.0.1:4222") as consumer:
        book = await consumer.book("BTC_USDT")

wire: the format; sharding: who carries what; bus: the connection; publisher: the gateway; sources,
lines: what a consumer makes of beats and messages; docs/gateway.md: the whole story.
"""

from mexcfast.gateway.consumer import Consumer
from mexcfast.gateway.news import GatewayDown, GatewayUp, MessagesLost, SourceChanged
from mexcfast.gateway.publisher import CHANNELS, COMMON, Gateway, GatewaySettings
from mexcfast.gateway.sharding import Shard, shard_of
from mexcfast.gateway.sources import Life, Source

__all__ = ["CHANNELS", "COMMON", "Consumer", "Gateway", "GatewayDown", "GatewaySettings",
           "GatewayUp", "Life", "MessagesLost", "Shard", "Source", "SourceChanged", "shard_of"]
