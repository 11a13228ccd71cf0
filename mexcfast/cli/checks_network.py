"""Checks of `mexcfast doctor` about the way to the exchange: names, routes, TLS, round trips."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from typing import Any

import aiohttp

from mexcfast.cli.checkup import Finding, Patient, check, latency

PINGS = 10
CONNECTS = 3            # to each address
MOST_ADDRESSES = 8      # of each host
PATIENCE_S = 5.0        # for one connection
SOON_DAYS = 14          # a certificate that ends sooner is worth a warning


@check("dns")
async def dns(patient: Patient) -> Finding:
    """Each host's addresses, and how long the name took."""
    loop = asyncio.get_running_loop()
    data: dict[str, Any] = {}
    texts = []
    for host, port in patient.hosts():
        if host in data:
            continue
        if _is_literal(host):
            data[host] = {"addresses": [host], "ms": 0.0}
            texts.append(f"{host} is an address")
            continue
        began_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as error:
            why = str(error) or f"no answer in {PATIENCE_S:g} s"
            patient.unreachable[host] = f"{host} is not found"
            data[host] = {"addresses": [], "error": why}
            texts.append(f"{host} is not found: {why}")
            continue
        took = (time.monotonic_ns() - began_ns) / 1e6
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        data[host] = {"addresses": addresses, "ms": round(took, 3)}
        texts.append(f"{host} is {', '.join(addresses)} ({took:.1f} ms)")
    if patient.unreachable:
        return Finding("failed", "; ".join(texts), data, "No network, or no name server that "
                       "answers: `getent hosts api.mexc.com`, /etc/resolv.conf. What needs these "
                       "hosts is skipped below.")
    return Finding("ok", "; ".join(texts), data)


@check("routes")
async def routes(patient: Patient) -> Finding:
    """Time to connect to each address of each host."""
    loop = asyncio.get_running_loop()
    data: dict[str, Any] = {}
    texts, dead = [], 0
    for host, port in patient.hosts():
        if host in patient.unreachable:
            continue
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for address in list(dict.fromkeys(str(each[4][0]) for each in found))[:MOST_ADDRESSES]:
            name = f"{host}:{port}" if address == host else f"{host}:{port} at {address}"
            try:
                times = [await _connect(address, port) for _ in range(CONNECTS)]
            except (OSError, TimeoutError) as error:
                dead += 1
                why = "no answer" if isinstance(error, TimeoutError) else (
                    error.strerror or str(error))
                data[name] = {"error": why}
                texts.append(f"{name} cannot be reached: {why}")
                continue
            median = sorted(times)[len(times) // 2]
            data[name] = {"connect_ms": round(median, 3)}
            texts.append(f"{name} in {median:.1f} ms")
    if not data:
        return Finding("skipped", "no host's address is known, see dns")
    if dead == len(data):
        return Finding("failed", "; ".join(texts), data, "Is the address right, the exchange up, "
                       "a firewall or a proxy between? mexcfast connects directly.")
    if dead:
        return Finding("warning", "; ".join(texts), data,
                       "Connections try the addresses one after the other; a dead one costs time.")
    return Finding("ok", "; ".join(texts), data)


async def _connect(address: str, port: int) -> float:
    """Milliseconds until a TCP connection stands."""
    began_ns = time.monotonic_ns()
    async with asyncio.timeout(PATIENCE_S):
        _, writer = await asyncio.open_connection(address, port)
    took = (time.monotonic_ns() - began_ns) / 1e6
    writer.close()
    return took


@check("tls")
async def tls(patient: Patient) -> Finding:
    """Version, cipher and certificate of each host, verified."""
    data: dict[str, Any] = {}
    texts: list[str] = []
    verdict, advice = "ok", ""
    for (host, port), secure in patient.hosts().items():
        if host in patient.unreachable:
            continue
        name = f"{host}:{port}"
        if not secure:
            local = host == "localhost" or (_is_literal(host)
                                            and ipaddress.ip_address(host).is_loopback)
            data[name] = {"tls": None}
            texts.append(f"{name} speaks no TLS" + (", and is this machine" if local else ""))
            if not local:
                verdict, advice = "failed", ("Keys and orders would cross the network readable: "
                                             "use https:// and wss://.")
            continue
        try:
            data[name] = await _handshake(host, port)
        except ssl.SSLCertVerificationError as error:
            data[name] = {"error": error.verify_message}
            texts.append(f"{name}: the certificate is not valid: {error.verify_message}")
            verdict, advice = "failed", ("Send nothing there. Wrong clock on this machine, no CA "
                                         "certificates (SSL_CERT_FILE), or somebody in between.")
            continue
        except (OSError, TimeoutError) as error:
            data[name] = {"error": str(error) or "no answer"}
            texts.append(f"{name}: no TLS: {str(error) or 'no answer'}")
            verdict = "failed"
            continue
        left = data[name]["certificate_days"]
        texts.append(f"{name} {data[name]['version']} {data[name]['cipher']} in "
                     f"{data[name]['handshake_ms']:.1f} ms, certificate for {left} more days")
        if left < SOON_DAYS and verdict == "ok":
            verdict, advice = "warning", "The exchange has to renew its certificate soon."
    if not data:
        return Finding("skipped", "no host's address is known, see dns")
    return Finding(verdict, "; ".join(texts), data, advice)  # type: ignore[arg-type]


async def _handshake(host: str, port: int) -> dict[str, Any]:
    began_ns = time.monotonic_ns()
    async with asyncio.timeout(PATIENCE_S):
        _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    took = (time.monotonic_ns() - began_ns) / 1e6
    try:
        certificate = writer.get_extra_info("peercert") or {}
        cipher = writer.get_extra_info("cipher") or ("?", "?", 0)
        left_s = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
        return {"version": cipher[1] if writer.get_extra_info("ssl_object") is None
                else writer.get_extra_info("ssl_object").version(), "cipher": cipher[0],
                "handshake_ms": round(took, 3), "certificate_until": certificate["notAfter"],
                "certificate_days": int(left_s // 86400)}
    finally:
        writer.close()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@check("clock", needs="rest")
async def clock(patient: Patient) -> Finding:
    """The venue's time against ours."""
    await patient.executor.sync_clock(5)
    known = patient.executor.clock
    offset, error = known.offset_ms, known.error_ms or 0.0
    text = f"the venue is {offset:+.1f} ms from this machine, known to {error:.1f} ms"
    data = {"offset_ms": round(offset, 3), "error_ms": round(error, 3)}
    if error > 1000:
        return Finding("failed", f"{text}: too uncertain to trade", data,
                       "The way to the exchange is too slow or too uneven; look at `routes`.")
    if abs(offset) > 1000:
        return Finding("warning", text, data, "mexcfast corrects it, other programs do not: "
                       "synchronise this machine, for example timedatectl set-ntp true.")
    return Finding("ok", text, data)


@check("rest", needs="rest")
async def rest(patient: Patient) -> Finding:
    """Round trips of contract/ping over a warm connection."""
    times = []
    for _ in range(PINGS + 1):
        began_ns = time.monotonic_ns()
        await patient.executor.request("ping")
        times.append((time.monotonic_ns() - began_ns) / 1e6)
    return latency(times[1:])          # the first may open the connection


@check("stream", needs="stream")
async def stream(patient: Patient) -> Finding:
    """Round trips of ping over the WebSocket."""
    times = []
    async with (aiohttp.ClientSession() as session,
                session.ws_connect(patient.endpoint.ws_url, timeout=aiohttp.ClientWSTimeout(
                    ws_close=2.0)) as socket_, asyncio.timeout(15)):
        for _ in range(PINGS):
            began_ns = time.monotonic_ns()
            await socket_.send_str('{"method":"ping"}')
            while "pong" not in str((await socket_.receive()).data):
                pass
            times.append((time.monotonic_ns() - began_ns) / 1e6)
    return latency(times)
