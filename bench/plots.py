"""The report's plots, as SVG texts and PNG files. Needs matplotlib (extra `bench`)."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from harness import Missing, least

SHARES = [share / 200 for share in range(201)]


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise Missing("matplotlib is missing: pip install 'matplotlib>=3.9,<4'") from None
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mexcfast"      # the same data gives the same file
    matplotlib.rcParams["font.size"] = 9
    matplotlib.rcParams["axes.prop_cycle"] = matplotlib.cycler(
        color=matplotlib.colormaps["tab20"].colors)
    from matplotlib import pyplot

    return pyplot


def _best(repeats: list[dict[str, Any]]) -> dict[str, Any]:
    return min(repeats, key=lambda one: one["p50"])


def _distribution(pyplot: Any, candidates: dict[str, Any], title: str) -> Any:
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for axis, loop, word in zip(axes, ("sleep", "spin"), ("sleeping", "spinning"), strict=True):
        for name, by_loop in candidates.items():
            if by_loop.get(loop):
                axis.plot(_best(by_loop[loop])["curve"], SHARES, label=name, linewidth=1.2)
        axis.set_xscale("log")
        axis.set_xlabel(f"microseconds, {word}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of frames")
    axes[1].legend(fontsize=7, loc="lower right")
    figure.suptitle(f"{title}: the repeat with the least median")
    return figure


def _series(pyplot: Any, candidates: dict[str, Any], title: str) -> Any:
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 3.6), sharey=True)
    for axis, loop, word in zip(axes, ("sleep", "spin"), ("sleeping", "spinning"), strict=True):
        for name, by_loop in candidates.items():
            if by_loop.get(loop):
                axis.plot(_best(by_loop[loop])["series"], label=name, linewidth=0.7)
        axis.set_yscale("log")
        axis.set_xlabel(f"frames in the order of time, thinned, {word}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("microseconds")
    axes[1].legend(fontsize=7)
    figure.suptitle(title)
    return figure


def _bars(pyplot: Any, wire: dict[str, Any]) -> Any:
    costs = {name: least(one["blast"], "cpu_us") for name, one in wire["candidates"].items()
             if one.get("blast")}
    figure, axis = pyplot.subplots(figsize=(11, 0.35 * len(costs) + 1))
    axis.barh(list(costs), list(costs.values()))
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlabel("CPU microseconds a frame at full blast, least of the repeats")
    for place, cost in enumerate(costs.values()):
        axis.annotate(f" {cost:.3g}", (cost, place), va="center", fontsize=8)
    axis.grid(alpha=0.3, axis="x")
    return figure


def draw(found: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write NAME.svg and NAME.png for what was measured; name -> SVG text. Raises Missing."""
    pyplot = _pyplot()
    figures = {}
    if wire := found.get("wire"):
        figures["wire_cdf"] = _distribution(pyplot, wire["candidates"], "Wire to callback")
        figures["wire_series"] = _series(pyplot, wire["candidates"], "Wire to callback over time")
        figures["blast_cpu"] = _bars(pyplot, wire)
    if trade := found.get("tick_to_trade"):
        figures["tick_to_trade_cdf"] = _distribution(pyplot, trade["candidates"], "Tick to trade")
        figures["tick_to_trade_series"] = _series(pyplot, trade["candidates"],
                                                  "Tick to trade over time")
    texts = {}
    for name, figure in figures.items():
        figure.tight_layout()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        texts[name] = re.sub(r"\A.*?(?=<svg)", "", text.getvalue(), flags=re.S)
        (folder / f"{name}.svg").write_text(text.getvalue(), encoding="utf-8")
        figure.savefig(folder / f"{name}.png", dpi=110)
        pyplot.close(figure)
    return texts
