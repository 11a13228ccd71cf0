"""Reading one HTTP/1.1 answer the slow way: regular expressions over everything that has come."""

from __future__ import annotations

import re

MAX_LINE, MAX_HEAD, MAX_ANSWER = 8192, 32768, 1 << 20
STATUS = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9])( [^\x00-\x08\x0a-\x1f\x7f]*)?")
HEADER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
TIMEOUT = re.compile(rb"timeout=([0-9]{1,10})([, ].*)?", re.I | re.S)


class Bad(ValueError):
    """Not an answer we accept."""


class More(Exception):
    """Nothing wrong so far, and not all of it."""


class Text:
    def __init__(self, data):
        self.data, self.at = data, 0

    def line(self, in_head=False):
        end = self.data.find(b"\n", self.at)
        stop = len(self.data) if end < 0 else end
        if stop - self.at > MAX_LINE or (in_head and stop + (end >= 0) > MAX_HEAD):
            raise Bad("long")
        if end < 0:
            raise More
        line, self.at = self.data[self.at:end], end + 1
        if not line.endswith(b"\r"):
            raise Bad("line end")
        return line[:-1]

    def take(self, size):
        piece = self.data[self.at:self.at + size]
        if len(piece) < size:
            raise More
        self.at += size
        return piece


def length_of(headers):
    """("length", n) or ("chunked", None)."""
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise Bad("two lengths")
    if codings:
        return ("chunked", None)
    return ("length", int(lengths[0]) if lengths else None)


def check_header(name, value, headers):
    """What is refused as soon as its line is there."""
    before = [n for n, _ in headers]
    if name == b"content-length" and (
            name in before or not re.fullmatch(rb"[0-9]{1,10}", value) or int(value) > MAX_ANSWER):
        raise Bad("length")
    if name == b"transfer-encoding" and (name in before or value.lower() != b"chunked"):
        raise Bad("coding")


def read(data):
    """(status, body, keep_alive, keep_alive_s) of a whole answer; raises Bad or More."""
    if len(data) > MAX_ANSWER:
        raise Bad("long")
    text = Text(data)
    found = STATUS.fullmatch(text.line(True))
    if not found or found[1] < b"200":
        raise Bad("status line")
    status, headers = int(found[1]), []
    while line := text.line(True):
        pair = HEADER.fullmatch(line)
        if not pair:
            raise Bad("header")
        name, value = pair[1].lower(), pair[2].strip(b" \t")
        check_header(name, value, headers)
        headers.append((name, value))
    kind, length = length_of(headers)
    if status in (204, 304):
        if kind == "chunked" or length:
            raise Bad("a body there must not be")
        length = 0
    if any(n == b"content-encoding" and v.lower() != b"identity" for n, v in headers):
        raise Bad("encoding")
    if kind == "chunked":
        body = b""
        while True:
            digits = text.line()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", digits) or int(digits, 16) > MAX_ANSWER:
                raise Bad("chunk size")
            size = int(digits, 16)
            if size == 0:
                break
            body += text.take(size)
            if text.take(2) != b"\r\n":
                raise Bad("chunk end")
        if text.line():
            raise Bad("trailer")
    elif length is None:
        raise Bad("no length")
    else:
        body = text.take(length)
    if text.at < len(data):
        raise Bad("extra")
    keep = all(v.lower() == b"keep-alive" for n, v in headers if n == b"connection")
    seconds = -1
    for name, value in headers:
        if name == b"keep-alive" and (found := TIMEOUT.fullmatch(value)):
            seconds = int(found[1])
    return status, body, keep, seconds
