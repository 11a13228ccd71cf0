"""Tests that ask for `path` run twice: order entry over the lane, and over aiohttp."""

from __future__ import annotations

import pytest

from mexcfast.client import Client
from mexcfast.net.executor import Executor


@pytest.fixture(params=["auto", "off"])
def path(request, monkeypatch):
    """The default of the setting `lane`, for every executor and client the test makes."""
    for made in (Executor, Client):
        monkeypatch.setitem(made.__init__.__kwdefaults__, "lane", request.param)
    return request.param
