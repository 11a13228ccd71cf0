"""ccxt's one method for HTTP, for the futures addresses: the same request, less work around it.

Same session, headers, body, errors and hooks as stock; addresses are parsed once, the answer is
read once. Spot, proxies, verbose mode and whatever is unusual go to stock's own fetch.
"""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import ccxt  # type: ignore[import-untyped]
import yarl

KEPT_URLS = 512


class Rest:
    """Mixed into the exchange."""

    def _start_rest(self: Any) -> None:
        self._urls: dict[str, yarl.URL] = {}
        self._patience: tuple[Any, aiohttp.ClientTimeout] = (None, aiohttp.ClientTimeout())

    def _is_ours(self: Any, url: str, method: str, headers: Any, body: Any) -> bool:
        """Whether it is a futures request that goes straight to the venue."""
        bases = self.urls["api"]["contract"]
        return (not self.verbose and self.own_session and not self.aiohttp_proxy
                and url.startswith((bases["public"], bases["private"]))
                and self.check_proxy_url_settings(url, method, headers, body) is None
                and not any(self.check_proxy_settings(url, method, headers, body)))

    async def fetch(self: Any, url: str, method: str = "GET", headers: Any = None,
                    body: Any = None) -> Any:
        if not self._is_ours(url, method, headers, body):
            return await super().fetch(url, method, headers, body)   # type: ignore[misc]
        sent = self.prepare_request_headers(headers)
        self.last_request_headers = sent
        self.open(True)
        if self._patience[0] != self.timeout:
            seconds = self.timeout / 1000
            self._patience = (self.timeout, aiohttp.ClientTimeout(
                total=seconds, sock_connect=seconds, sock_read=seconds))
        try:
            async with self.session.request(
                    method, self._parsed(url), data=body.encode() if body else None,
                    headers=sent, timeout=self._patience[1]) as answer:
                raw = await answer.read()
                status, reason = answer.status, answer.reason
                received: dict[str, str] = {}
                for name, value in answer.headers.items():
                    received[name] = f"{received[name]}, {value}" if name in received else value
        except socket.gaierror as error:
            raise ccxt.ExchangeNotAvailable(f"{self.id} {method} {url}") from error
        except TimeoutError as error:
            raise ccxt.RequestTimeout(f"{self.id} {method} {url}") from error
        except aiohttp.ClientConnectionError as error:
            raise ccxt.ExchangeNotAvailable(f"{self.id} {method} {url}") from error
        except aiohttp.ClientError as error:
            raise ccxt.ExchangeError(f"{self.id} {method} {url}") from error
        text = self.on_rest_response(status, reason, url, method, received,
                                     raw.decode("utf-8", "replace"), sent, body)
        parsed = self.parse_json(text)
        if self.enableLastHttpResponse:
            self.last_http_response = text
        if self.enableLastResponseHeaders:
            self.last_response_headers = received
        if self.enableLastJsonResponse:
            self.last_json_response = parsed
        if parsed and type(parsed) is not list and self.returnResponseHeaders:
            parsed["responseHeaders"] = received
        self.handle_errors(status, reason, url, method, received, text, parsed, sent, body)
        self.handle_http_status_code(status, reason, url, method, text)
        if parsed is not None:
            return parsed
        return text if self.is_text_response(received) or not text else raw

    def _parsed(self: Any, url: str) -> yarl.URL:
        """yarl's URL; those without a query are kept, order entry has a handful."""
        if "?" in url:
            return yarl.URL(url, encoded=True)
        found: yarl.URL | None = self._urls.get(url)
        if found is None:
            if len(self._urls) >= KEPT_URLS:
                self._urls.clear()
            found = self._urls[url] = yarl.URL(url, encoded=True)
        return found


