"""account/asset/analysis/export: a workbook and a PDF that others can open."""

from __future__ import annotations

import io
import re
import zipfile
from decimal import Decimal
from xml.etree import ElementTree

import aiohttp

from mexcfast.sim import Exchange
from mexcfast.sim.statement import LINES_A_PAGE, pages, workbook
from sim.sim_support import Client, play

CELL = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def cells(data: bytes) -> list[list[str]]:
    """The texts of a workbook's sheet, read with nothing of ours."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert packed.testzip() is None
        for name in packed.namelist():
            ElementTree.fromstring(packed.read(name))
        sheet = ElementTree.fromstring(packed.read("xl/sheet.xml"))
    return [
        ["".join(cell.itertext()) for cell in row] for row in sheet.iter(f"{CELL}row")
    ]


def test_the_statement_is_downloaded_in_both_formats() -> None:
    async def fetch(client: Client, query: str) -> tuple[str, bytes]:
        path = "/api/v1/private/account/asset/analysis/export"
        url = f"{client.venue.rest_url}{path}?{query}"
        headers = client.headers(query, **{"timezone-login": "UTC+08:00"})
        async with client.http.get(url, headers=headers) as answer:
            assert answer.status == 200
            return answer.content_type, await answer.read()

    async def scene(venue: Exchange, client: Client) -> None:
        await client.order(type=5, vol=4)
        kind, data = await fetch(client, "fileType=1")
        assert kind.endswith("spreadsheetml.sheet")
        heading, *days = cells(data)
        assert heading[0] == "Date (UTC)" and len(days) == 1
        assert Decimal(days[0][1]) == -venue.account.deals[0].fee  # nothing but the fee so far
        assert Decimal(days[0][3]) == sum(venue.account.cash.values())
        kind, data = await fetch(client, "fileType=2")
        assert kind == "application/pdf" and data.startswith(b"%PDF-1.4")
        assert days[0][0].encode() in data
        refused = await client.get("account/asset/analysis/export?fileType=3")
        assert refused["code"] == 600
        venue.faults.truncate_answer("analysis/export")
        _, cut = await fetch(client, "fileType=1")
        assert len(cut) < 3_000 and not zipfile.is_zipfile(io.BytesIO(cut))
        assert venue.requests[-1].status == 200

    play(scene, symbols=("BTC_USDT",))


def test_texts_are_escaped_and_offsets_right() -> None:
    rows = [("a<b>&c", Decimal("1.50")), ("(x\\y)", 7)] + [("day", n) for n in range(130)]
    assert cells(workbook(rows))[:2] == [["a<b>&c", "1.5"], ["(x\\y)", "7"]]
    data = pages(rows)
    table = int(re.search(rb"startxref\n(\d+)", data).group(1))
    assert data[table:].startswith(b"xref")
    places = re.findall(rb"(\d{10}) 00000 n", data[table:])
    for number, place in enumerate(places, 1):
        assert data[int(place):].startswith(f"{number} 0 obj".encode())
    assert b"/Count 3" in data and len(rows) > 2 * LINES_A_PAGE
    for stream, size in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", data, re.S):
        assert int(stream) == len(size)
    assert rb"\(x\\y\)" in data


def test_an_address_without_a_signature_is_refused() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        async with aiohttp.ClientSession() as http, http.get(
            venue.rest_url + "/api/v1/private/account/asset/analysis/export"
        ) as answer:
            assert (await answer.json())["code"] == 401

    play(scene)
