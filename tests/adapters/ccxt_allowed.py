"""THE list of what mexcfast's ccxt does otherwise than stock 4.5.90 without being asked.

docs/adapters/ccxt.md tells users the same. `test` names the test that shows both sides of it.
"""

from __future__ import annotations

ALLOWED = {
    "time in force": "IOC and FOK limit orders are sent as the venue's types 3 and 4",
    "first book": "the snapshot is asked for with the subscription, not after 25 frames",
    "gap": "missing versions, a reconnect or two crossed books in a row load the book again",
    "stale frame": "a frame that brings no new version changes nothing and wakes nobody",
    "unreadable frame": "a frame without a version, or that is no JSON, loads the book again",
    "late frame": "after un_watch_order_book a late frame makes no new book",
    "refused": "rs.error ends the watch it belongs to: AuthenticationError, BadSymbol",
    "deal object": "push.deal with one object instead of a list is a trade too",
    "no compression": "permessage-deflate is not offered on the futures socket",
    "has": "the extra calls are in `has`",
}

#: ALLOWED -> the test that shows it
SHOWN = {
    "time in force": "test_ccxt_requests.py::test_ioc_and_fok_are_sent_as_such",
    "first book": "test_ccxt_failures.py::test_a_quiet_book_comes_at_once",
    "gap": "test_ccxt_failures.py::test_a_gap_is_mended",
    "stale frame": "test_ccxt_frames.py::test_a_stale_frame_wakes_nobody",
    "unreadable frame": "test_ccxt_frames.py::test_an_unreadable_frame_loads_the_book_again",
    "late frame": "test_ccxt_failures.py::test_a_late_frame_makes_no_book",
    "refused": "test_ccxt_failures.py::test_wrong_keys_are_an_error",
    "deal object": "test_ccxt_frames.py::test_a_deal_may_be_an_object",
    "no compression": "test_ccxt_failures.py::test_the_handshake",
    "has": "test_ccxt_package.py::test_has_tells_the_truth",
}
