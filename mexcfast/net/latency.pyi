from mexcfast.core.histogram import Histogram
from mexcfast.core.listener import Listener

class LatencyMeter(Listener):
    offset_ns: int
    knows_offset: bool
    @property
    def venue_to_wire(self) -> Histogram: ...
    @property
    def wire_to_callback(self) -> Histogram: ...
