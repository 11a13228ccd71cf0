from typing import Any, Final

from picows import WSListener, WSTransport

from mexcfast.core.reader import Reader

BUILT_AGAINST: Final[str]
MAX_MESSAGE: Final[int]

class NativeStream(WSListener):
    def __init__(self, reader: Reader, owner: Any) -> None: ...
    @property
    def reader(self) -> Reader: ...
    @property
    def transport(self) -> WSTransport: ...
    def send(self, text: bytes) -> None: ...
    def close(self) -> None: ...
