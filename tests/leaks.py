"""Uses every compiled room that allocates, under LeakSanitizer, and judges the report.

Run by tests/run with the sanitizer build. A block that one of our libraries allocated itself, and
nobody freed, fails the step; what CPython keeps until the end is its own affair. To prove that a
leak would be seen, one is made on purpose (native.pyx) and must be in the report.
"""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from contextlib import suppress

from mexcfast.core.depth import OrderBook
from mexcfast.core.events import parse_frame
from mexcfast.core.sign import Signer, canonical_query
from mexcfast.errors import FrameError

HEAD = '{"channel":"push.depth","symbol":"BTC_USDT","data":{"asks":['
LEVELS = ",".join(f"[{100 + i}.5,{i + 1},1]" for i in range(600))


def work() -> None:
    for n in range(200):
        book = OrderBook("BTC_USDT")
        book.load_snapshot(f'{{"asks":[{LEVELS}],"bids":[],"version":1}}')
        for version in (2, 5, 9, 12):
            book.apply(f'{HEAD}{LEVELS}],"bids":[[{n + 1},1]],"version":{version}}}}}')
        parse_frame(f'{HEAD}{LEVELS}],"bids":[],"version":{n}}}}}').to_dict()
        with suppress(FrameError):
            parse_frame(HEAD + LEVELS)
        Signer("key", "secret").sign(1_790_870_000_000, canonical_query({"symbol": "BTC_USDT"}))


# The room a block's allocating frame lies in: by source line where the machine has a symbolizer, by
# shared library where it has none.
OURS = re.compile(r"#1 .*?/mexcfast/\S*?(\w+)\.(?:pyx|c:|[\w-]+\.so)")


def main() -> int:
    options = os.environ["ASAN_OPTIONS"].replace("detect_leaks=0", "detect_leaks=1")
    done = subprocess.run([sys.executable, "-P", __file__, "--child"], capture_output=True,
                          text=True, env=dict(os.environ, ASAN_OPTIONS=options + ":exitcode=0"))
    blocks = re.split(r"\n(?=(?:Direct|Indirect) leak of)", done.stderr)[1:]
    ours = [block for block in blocks if OURS.search(block)]
    planned = [block for block in ours if OURS.search(block)[1] == "fuzzed"]  # type: ignore[index]
    print(f"{len(blocks)} blocks in the report, {len(ours)} of ours, {len(planned)} on purpose")
    if done.returncode or "done" not in done.stdout or not planned:
        print(done.stdout, done.stderr[-4000:])
        return 1
    for block in ours:
        if block not in planned:
            print(block)
    return int(len(ours) > len(planned))


if __name__ == "__main__":
    if "--child" in sys.argv:
        from mexcfast.core import fuzzed

        fuzzed.leak()
        work()
        gc.collect()
        print("done")
    else:
        sys.exit(main())
