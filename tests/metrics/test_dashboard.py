"""The dashboard: every query names metrics and labels that a client really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metrics.scraping import on_exchange, scrape
from mexcfast.metrics import DASHBOARD, TABLE

NAME = re.compile(r"\b((?:mexcfast|process|python)_[a-z0-9_]+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')
BY = re.compile(r"\b(?:by|ignoring) \(([^)]*)\)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")
OURS = {name: {*row.labels, *(["le"] if name.endswith("_bucket") else [])}
        for row in TABLE for name in row.shown}
SCRAPED = {"instance", "job"}               # Prometheus adds these to everything


def load() -> Any:
    return json.loads(DASHBOARD.read_text("utf-8"))


def queries(dashboard: Any) -> Iterator[tuple[str, str, str]]:
    """Panel, query, legend."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for each in dashboard["annotations"]["list"]:
        yield each["name"], each["expr"], ""
    for each in dashboard["templating"]["list"]:
        if each["type"] == "query":
            yield each["name"], each["query"]["query"], ""


def faults(title: str, query: str, legend: str, known: dict[str, set[str]]) -> list[str]:
    found, labels = [], set[str]()
    named = list(NAME.finditer(query))
    if not named:
        found.append(f"{title}: no metric in {query}")
    for match in named:
        name, selector = match.groups()
        if name not in known:
            found.append(f"{title}: {name} is no metric")
            continue
        labels |= known[name]
        found += [f"{title}: {name} has no label {label}"
                  for label, _ in LABEL.findall(selector or "")
                  if label not in known[name] | SCRAPED]
        if name.endswith("_total") and not re.search(
                r"\b(rate|increase)\(" + name, query):
            found.append(f"{title}: {name} is a counter and neither rate nor increase is taken")
        if name.endswith("_bucket") and not re.search(r"histogram_quantile\(.*\ble\b", query):
            found.append(f"{title}: {name} without histogram_quantile by le")
    grouped = {label.strip() for some in BY.findall(query) for label in some.split(",")}
    found += [f"{title}: no label {label}" for label in grouped - labels]
    found += [f"{title}: legend shows {label}" for label in set(LEGEND.findall(legend)) - labels]
    if "{{" in legend and "by (" in query:
        found += [f"{title}: {label} is summed away"
                  for label in set(LEGEND.findall(legend)) - grouped]
    for one, other in ("()", "{}", "[]"):
        if query.count(one) != query.count(other):
            found.append(f"{title}: {query} is not balanced")
    return found


def test_every_query_names_what_there_is() -> None:
    known = dict(OURS)

    async def story(venue, client) -> None:
        await client.metrics.serve(0)
        seen = await scrape(client.metrics.url)
        for family in seen.families:
            for sample in family.samples:
                if not sample.name.startswith("mexcfast_"):
                    known.setdefault(sample.name, set()).update(sample.labels)

    on_exchange(story)
    asked = list(queries(load()))
    assert len(asked) > 50
    found = [fault for each in asked for fault in faults(*each, known)]
    assert not found, "\n".join(found)


def test_the_check_can_fail() -> None:
    good = ("t", 'sum by (stream) (rate(mexcfast_frames_total{instance=~"x"}[1m]))', "{{stream}}")
    assert faults(*good, OURS) == []
    for query, legend in (("mexcfast_nothing", ""), ("up", ""),
                          ("mexcfast_books{stat=\"live\"}", ""), ("mexcfast_books", "{{path}}"),
                          ("mexcfast_frames_total", ""),
                          ("sum by (path) (mexcfast_books)", ""),
                          ("sum by (state) (mexcfast_books{})", "{{other}}"),
                          ("rate(mexcfast_venue_to_wire_seconds_bucket[1m])", ""),
                          ("sum(mexcfast_books", "")):
        assert faults("t", query, legend, OURS), query


def test_values_of_states_are_the_clients_own() -> None:
    """state="ARMED" and the like: what a query selects must be what a row can show."""
    wanted = {(name, label, value) for _, query, _ in queries(load())
              for name, selector in NAME.findall(query) for label, values in LABEL.findall(selector)
              if label not in SCRAPED for value in values.split("|")}
    assert wanted

    async def story(venue, client) -> None:
        await client.metrics.serve(0)
        await client.start()
        await client.orders.cancel_all()
        price = venue.book("BTC_USDT").bids[0][0]
        import mexcfast as mx
        await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1, price, leverage=20)
        seen = await scrape(client.metrics.url)
        for name, label, value in wanted:
            shown = {dict(labels).get(label) for labels in seen.all(name)}
            assert value in shown, (name, label, value, shown)

    on_exchange(story)


def test_panels_are_laid_out_and_ask_the_chosen_source() -> None:
    dashboard = load()
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"] and panel["datasource"]["uid"] == "${datasource}"
            assert all(each["datasource"]["uid"] == "${datasource}" for each in panel["targets"])
    assert "__inputs" not in dashboard and dashboard["uid"] == "mexcfast"
    assert "id" not in dashboard                # of one Grafana's database
    for _, query, _ in queries(dashboard):
        assert "$instance" in query or query.startswith("label_values")


def test_it_lies_beside_the_package() -> None:
    assert Path(DASHBOARD).name == "grafana.json"
