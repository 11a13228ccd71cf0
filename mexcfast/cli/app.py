"""The commands and their options. What they do stands in the rooms beside this one."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Annotated, Literal, NoReturn

import typer

import mexcfast
from mexcfast.cli import completion
from mexcfast.errors import MexcfastError, NetworkError
from mexcfast.runtime import run

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Trade MEXC futures fast and safely; try it on the embedded exchange.")

Metrics = Annotated[int | None, typer.Option(
    "--metrics", min=0, max=65535, metavar="PORT",
    help="Serve Prometheus metrics on 127.0.0.1 at this port; 0 takes a free one.")]

def _address(value: str | None) -> str | None:
    """An exchange's address; what may have been meant when its beginning is missing."""
    if value is not None and "://" not in value:
        local = value.startswith(("127.", "localhost", "[::1]"))
        _fail(f"--endpoint is {value!r}; did you mean {'http' if local else 'https'}://{value}?")
    return value


Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")]


@app.callback()
def _root(verbose: Verbose = False) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, stream=sys.stderr,
                        format="%(asctime)s %(name)s %(message)s")


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="How long the market runs "
                                           "before and after the faults.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Seed of the embedded exchange.")] = 7,
    rate: Annotated[int, typer.Option(min=5, max=500, help="Book updates a second and "
                                      "contract.")] = 200,
    spin: Annotated[bool, typer.Option("--spin", help="Never let the loop sleep: lower latency, "
                                       "one core busy.")] = False,
) -> None:
    """Open books on the embedded exchange, break things, place an order, prove all of it."""
    from mexcfast.cli.demo import Demo

    _finish(run(_quietly(Demo(seed=seed, rate=rate, seconds=seconds).run()), spin=spin))


@app.command()
def watch(
    symbols: Annotated[list[str], typer.Argument(help="Contracts, for example BTC_USDT.",
                                                 autocompletion=completion.symbols)],
    sim: Annotated[bool, typer.Option("--sim", help="On the embedded exchange.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="REST address of another exchange.",
                                                 callback=_address)] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this long.")] = None,
    levels: Annotated[int, typer.Option(min=1, max=50, help="Levels a side.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a second and "
                                          "contract.")] = False,
    metrics: Metrics = None,
) -> None:
    """Show ladder, trades, funding and confidence of contracts, live; keys switch."""
    from mexcfast.cli.watch import watch as show

    if sim and endpoint:
        _fail("--sim and --endpoint exclude each other")
    _finish(run(_quietly(show(symbols, sim=sim, endpoint=endpoint, seconds=seconds,
                              levels=levels, as_json=as_json, metrics=metrics))))


@app.command()
def record(
    symbols: Annotated[list[str], typer.Argument(help="Contracts, for example BTC_USDT.",
                                                 autocompletion=completion.symbols)],
    sim: Annotated[bool, typer.Option("--sim", help="On the embedded exchange.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="REST address of another exchange.",
                                                 callback=_address)] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this long.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Directory for the files.")] =
    "tape",
    metrics: Metrics = None,
) -> None:
    """Record books, trades, tickers and prices of contracts until Ctrl-C."""
    from mexcfast.cli.record import record as write

    if sim and endpoint:
        _fail("--sim and --endpoint exclude each other")
    _finish(run(_quietly(write(symbols, sim=sim, endpoint=endpoint, seconds=seconds,
                               output=output, metrics=metrics))))


@app.command()
def replay(
    path: Annotated[str, typer.Argument(help="A directory with one tape, or one of its files.")],
    speed: Annotated[float | None, typer.Option(help="1 as recorded, 10 ten times as fast; full "
                                                "speed if not given.")] = None,
    levels: Annotated[int, typer.Option(min=1, max=50, help="Levels a side.")] = 8,
    export: Annotated[str | None, typer.Option(help="Also write every public frame as a line "
                                               "`<ns> <json>` into this new gzip file.")] = None,
    plot: Annotated[str | None, typer.Option(help="Also draw prices, trades and spread of one "
                                             "contract: a new .png, .svg or .pdf.")] = None,
    symbol: Annotated[str | None, typer.Option(help="With --plot: which contract; the first if "
                                               "none is named.",
                                               autocompletion=completion.symbols_of_tape)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON "
                                          "line.")] = False,
) -> None:
    """Play a recording: its books, what it holds, what is missing; draw it."""
    from mexcfast.cli.replay import draw, lines
    from mexcfast.cli.replay import replay as play

    if symbol is not None and plot is None:
        _fail("--symbol goes with --plot")
    if plot is not None or export is not None:
        code = _plainly(lambda: (0 if export is None else lines(path, export, force=force))
                        or (0 if plot is None else draw(path, plot, symbol=symbol, force=force)))
        if code:
            _finish(code)
    _finish(run(_quietly(play(path, speed=speed, levels=levels, as_json=as_json))))


@app.command()
def export(
    path: Annotated[str, typer.Argument(help="A directory with one tape, or one of its files.")],
    out: Annotated[str, typer.Argument(help="What to write: .parquet, .csv, .npz (hftbacktest), "
                                       ".gz (lines), or a directory.")],
    format: Annotated[Literal["parquet", "csv", "hftbacktest", "lines"] | None, typer.Option(
        "--format", "-f", help="If the name does not say it; parquet in a directory.")] = None,
    table: Annotated[list[str] | None, typer.Option(
        "--table", "-t", help="trades, top, depth, funding, tickers or prices; may be repeated; "
        "all in a directory.", autocompletion=completion.tables)] = None,
    symbol: Annotated[list[str] | None, typer.Option(
        "--symbol", "-s", help="This contract only; may be repeated.",
        autocompletion=completion.symbols_of_tape)] = None,
    levels: Annotated[int, typer.Option(min=1, max=2000, help="Levels a side in the table "
                                        "depth.")] = 10,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was written as one JSON "
                                          "document.")] = False,
) -> None:
    """Write a recording for other tools: Parquet, CSV, hftbacktest or lines of JSON."""
    from mexcfast.cli.export import export as write

    _finish(_plainly(lambda: write(path, out, format=format, tables=table or [],
                                   symbols=symbol or [], levels=levels, force=force,
                                   as_json=as_json)))


@app.command()
def sim(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8777,
    symbols: Annotated[str, typer.Option(help="Contracts, comma-separated, or how "
                                     "many.")] =
    "BTC_USDT,ETH_USDT,SOL_USDT",
    seed: Annotated[int, typer.Option(help="Seed of the market.")] = 7,
    rate: Annotated[float, typer.Option(min=0, max=5000, help="Book updates a second and "
                                        "contract; 0 waits for steps.")] = 50,
    merge_ms: Annotated[int, typer.Option(min=0, max=5000, help="Window of merged depth "
                                          "frames.")] = 200,
    levels: Annotated[int, typer.Option(min=2, max=1400, help="Levels a side; fewer need less "
                                        "memory.")] = 1000,
    stamp: Annotated[bool, typer.Option("--stamp", help="Add the sending time to depth "
                                        "frames.")] = False,
    balance: Annotated[int, typer.Option(min=0, help="What the account starts with.")] = 100_000,
    replay: Annotated[str | None, typer.Option(help="Play a recorded market from this "
                                               "file.")] = None,
    script: Annotated[str | None, typer.Option(help="Play the exact actions of this file.")] = None,
    certificate: Annotated[str | None, typer.Option(help="TLS: certificate in PEM.")] = None,
    certificate_key: Annotated[str | None, typer.Option(help="TLS: its key in PEM.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print addresses and keys as one JSON "
                                          "line.")] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run the embedded exchange on loopback until Ctrl-C."""
    from mexcfast.cli.sim import serve

    if replay and script:
        _fail("--replay and --script exclude each other")
    wanted: list[str] | int = [each.strip() for each in symbols.split(",") if each.strip()]
    if symbols.strip().isdigit():
        wanted = int(symbols)
    _finish(run(_quietly(serve(port=port, symbols=wanted, seed=seed, rate=rate, merge_ms=merge_ms,
                               levels=levels, stamp=stamp, as_json=as_json,
                               with_parent=with_parent,
                               balance=balance, replay=replay, script=script,
                               certificate=certificate, certificate_key=certificate_key))))


@app.command()
def paper(
    symbols: Annotated[list[str] | None, typer.Argument(help="Contracts; BTC_USDT if none "
                                                        "is named.",
                                                        autocompletion=completion.symbols)] = None,
    live: Annotated[bool, typer.Option("--live", help="Mirror the live exchange.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="Mirror another REST address, /edge of the "
                                                 "same host for its streams.",
                                                 callback=_address)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every contract there is.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8778,
    balance: Annotated[int, typer.Option(min=0, help="What the account starts with.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print addresses and keys as one JSON "
                                          "line.")] = False,
) -> None:
    """Trade on paper: live books and trades, your orders matched here and nowhere else."""
    from mexcfast.cli.paper import paper as serve

    if live == bool(endpoint):
        _fail("say what to mirror: --live, or --endpoint and an address")
    wanted = None if everything else symbols or ["BTC_USDT"]
    _finish(run(_quietly(serve(wanted, endpoint=endpoint, port=port, balance=balance,
                               as_json=as_json))))


Endpoint = Annotated[str | None, typer.Option(help="REST address of another exchange; the live one "
                                              "if it is left out.", callback=_address)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")]


@app.command()
def account(endpoint: Endpoint = None, as_json: AsJson = False) -> None:
    """Show balances, positions and the number of open orders."""
    from mexcfast.cli.account import account as show

    _finish(run(_quietly(show(endpoint=endpoint, as_json=as_json))))


@app.command()
def orders(
    symbol: Annotated[str | None, typer.Argument(help="One contract; all if none is named.",
                                                 autocompletion=completion.symbols)] = None,
    history: Annotated[bool, typer.Option("--history", help="Filled and cancelled ones.")] = False,
    fills: Annotated[bool, typer.Option("--fills", help="Fills of one contract.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows of each kind.")] = 100,
    cancel: Annotated[list[int] | None, typer.Option(help="Cancel this order id; may be "
                                                     "repeated.")] = None,
    cancel_all: Annotated[bool, typer.Option("--cancel-all", help="Cancel all limit orders, of "
                                             "the contract if one is named.")] = False,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Show open orders of every kind, past orders or fills; cancel some."""
    from mexcfast.cli.account import orders as show

    if history + fills + bool(cancel or cancel_all) > 1 or (cancel and cancel_all):
        _fail("--history, --fills, --cancel and --cancel-all exclude each other")
    if fills and symbol is None:
        _fail("--fills needs a contract")
    _finish(run(_quietly(show(
        symbol, kind="history" if history else "fills" if fills else "open", limit=limit,
        cancel=cancel or [], cancel_all=cancel_all, endpoint=endpoint, as_json=as_json))))


@app.command()
def trade(
    symbol: Annotated[str, typer.Argument(help="A contract, for example BTC_USDT.",
                                          autocompletion=completion.symbols)],
    side: Annotated[Literal["open-long", "close-long", "open-short", "close-short"],
                    typer.Argument(help="What it does to the position.")],
    quantity: Annotated[str, typer.Argument(help="Contracts.")],
    price: Annotated[str | None, typer.Option(help="Exact on the tick; none for market.")] = None,
    kind: Annotated[Literal["limit", "post-only", "ioc", "fok", "market"],
                    typer.Option("--type", help="How long it lives.")] = "limit",
    leverage: Annotated[int | None, typer.Option(min=1, help="Needed to open an isolated "
                                                 "position.")] = None,
    cross: Annotated[bool, typer.Option("--cross", help="Cross margin instead of "
                                        "isolated.")] = False,
    reduce_only: Annotated[bool, typer.Option("--reduce-only", help="One-way mode: never open "
                                              "with it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")] = False,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Place one order: checked, shown, confirmed, sent once, its outcome proven."""
    from mexcfast.cli.trade import trade as send

    _finish(run(_quietly(send(symbol, side, quantity, price=price, kind=kind, leverage=leverage,
                              cross=cross, reduce_only=reduce_only, yes=yes, endpoint=endpoint,
                              as_json=as_json))))


@app.command()
def doctor(
    drill: Annotated[bool, typer.Option("--drill", help="Pull every trigger of the kill switch on "
                                        "the embedded exchange and measure it.")] = False,
    trigger: Annotated[str | None, typer.Option(help="With --drill: this trigger alone.",
                                                autocompletion=completion.triggers)] = None,
    reset_kill_switch: Annotated[str | None, typer.Option(
        help="Arm the kill switch of this state file again; needs --reason.")] = None,
    reason: Annotated[str, typer.Option(help="Who resets it and why.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Reset although open orders are not proven "
                                        "cancelled.")] = False,
    key_created: Annotated[str | None, typer.Option(
        help="The day the key was made, such as 2026-09-01: how long it lives.")] = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Examine build, machine, network, TLS, drift and keys; drill the kill switch."""
    from mexcfast.cli import doctor as room

    if reset_kill_switch is not None:
        if drill:
            _fail("--drill and --reset-kill-switch exclude each other")
        _finish(run(_quietly(room.reset(reset_kill_switch, reason, force=force))))
    if drill:
        from mexcfast.cli.drill import run_drills
        from mexcfast.core.killswitch import Trigger

        drilled = [str(one) for one in Trigger if one is not Trigger.STATE_FILE]
        if trigger is not None and trigger not in drilled:
            _fail(f"--trigger is {trigger!r}; allowed: {', '.join(drilled)}")
        _finish(run(_quietly(run_drills(only=trigger, as_json=as_json))))
    _finish(run(_quietly(room.doctor(endpoint=endpoint, as_json=as_json,
                                     key_created=key_created))))


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True,
                               "help_option_names": []})
def watchdog(context: typer.Context) -> None:
    """Cancel every open order when the bot stops beating; options: --help."""
    from mexcfast.watchdog import main

    _finish(main(context.args))


@app.command()
def gateway(
    symbols: Annotated[list[str] | None, typer.Argument(help="Contracts; all that are enabled if "
                                                        "none is named.")] = None,
    nats: Annotated[str | None, typer.Option(help="NATS address; MEXCFAST_NATS if it is left out: "
                                             "arguments can be read by others.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Divide the contracts among this "
                                           "many, started again when they end.")] = 1,
    shard: Annotated[str, typer.Option(help="Publish this part only, as 0/4 to 3/4; start the "
                                       "others yourself.")] = "0/1",
    share: Annotated[int, typer.Option(min=1, help="Gateways that use the exchange's budget of "
                                       "this address, with --shard.")] = 1,
    channels: Annotated[str, typer.Option(help="Comma-separated: depth, deal, ticker, tickers, "
                                          "kline.Min1 ...")] = "depth,deal,tickers",
    name: Annotated[str | None, typer.Option(help="Unique among gateways; a later start replaces "
                                             "an earlier.")] = None,
    creds: Annotated[str | None, typer.Option(help="NATS credentials file.")] = None,
    nkey: Annotated[str | None, typer.Option(help="File with a NATS nkey seed.")] = None,
    ca: Annotated[str | None, typer.Option(help="PEM file of certificates to trust with tls://, "
                                           "instead of the system's.")] = None,
    beat: Annotated[float, typer.Option(min=0.05, max=60, help="Seconds between heartbeats.")] =
    0.5,
    sim: Annotated[bool, typer.Option("--sim", help="From the embedded exchange.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="REST address of another exchange.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this long.")] = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Publish books and events to NATS until Ctrl-C: docs/gateway.md."""
    from mexcfast.cli import gateway as room

    async def work() -> int:
        room.check(shard=shard, processes=processes, symbols=symbols or [], sim=sim,
                   endpoint=endpoint)
        return await room.gateway(
            symbols or [], nats=nats, endpoint=endpoint, sim=sim, shard=shard, processes=processes,
            share=share, channels=channels, name=name, creds=creds, nkey=nkey, ca=ca,
            beat=beat, seconds=seconds, with_parent=with_parent)

    _finish(run(_quietly(work())))


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Only that everything runs, in two "
                                        "minutes; no figure to keep.")] = False,
    out: Annotated[str, typer.Option(help="Directory for the report.")] = "bench-report",
    part: Annotated[list[str] | None, typer.Option(help="Only this part; may be repeated: micro, "
                                                   "memory, wire, tick_to_trade, orders, "
                                                   "orders_tls, startup, stall.",
                                              autocompletion=completion.parts)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Make it the repository's report and paste "
                                       "the README's figures.")] = False,
) -> None:
    """Measure everything beside its rivals and write a report (in a source checkout)."""
    from mexcfast.cli.bench import bench as measure

    _finish(_plainly(lambda: measure(quick=quick, out=out, parts=part or [], keep=keep)))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(mexcfast.__version__)


async def _quietly(main: object) -> int:
    """Exit code of a command: faults of ours become one line, Ctrl-C becomes 130."""
    try:
        return int(await main)  # type: ignore[misc]
    except asyncio.CancelledError:
        return 130
    except (MexcfastError, ValueError, OSError) as fault:
        return _tell(fault)


def _tell(fault: Exception) -> int:
    """One line for a fault, and where to look when it is the network's; the exit code."""
    more = "; `mexcfast doctor` examines the way" if isinstance(fault, NetworkError) else ""
    typer.secho(f"mexcfast: {fault}{more}", fg="red", err=True)
    return 1


def _plainly(main: Callable[[], int]) -> int:
    """The same for a command that needs no event loop."""
    try:
        return main()
    except KeyboardInterrupt:
        return 130
    except (MexcfastError, ValueError, OSError) as fault:
        return _tell(fault)


def _finish(code: int) -> NoReturn:
    raise typer.Exit(code)


def _fail(text: str) -> NoReturn:
    typer.secho(f"mexcfast: {text}", fg="red", err=True)
    raise typer.Exit(2)
