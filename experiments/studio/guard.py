"""Refuses requests that do not come from the page itself or a program that knows the token.

A page of another site may send requests to this machine, but the browser tells it in Origin and
Sec-Fetch-Site; a name of another site may point to this machine, but stands in Host.
"""

import hmac
import ipaddress
import secrets
from collections.abc import Set
from urllib.parse import parse_qs

from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

YEAR = 365 * 24 * 3600  # seconds that a browser keeps the token
DRAINED = 1_000_000_000  # bytes of a refused body that are read, so that the refusal is too
_OWN = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
_OWN += "media-src 'self' blob:; connect-src 'self' blob:; font-src 'self'; frame-src 'self'; "
_OWN += "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    b"content-security-policy": _OWN.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class TooLargeError(Exception):
    """A body is longer than the limit."""


class Guard:
    """Lets requests through that may be answered, and adds the headers of safety to all answers."""

    def __init__(self, app: ASGIApp, *, token: str, once: str, limit: int, hosts: Set[str]):
        """Wraps an application.

        Args:
            app: the application.
            token: that every request must know.
            once: takes its place in the address of the page, for one visit.
            limit: of a body, in bytes.
            hosts: names that the Host header may have, beside addresses: a name of another site
                can be made to stand for this machine, an address stands for itself.
        """
        self._app, self._token, self._once = app, token, once
        self._limit, self._hosts = limit, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {key.lower() for key, _ in message["headers"]}
                message["headers"] += [(k, v) for k, v in HEADERS.items() if k not in given]
            await send(message)

        refused = self._refusal(scope, headers)
        if refused:
            if refused[0] == 413:
                await _drain(receive)
            response = JSONResponse({"error": refused[1]}, refused[0], {"connection": "close"})
            return await response(scope, receive, answer)
        cookie = f"studio-{scope['server'][1]}"  # cookies are those of all ports
        if not self._knows(headers, cookie):
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["method"] == "GET" and scope["path"] == "/" and self._admits(given):
                return await self._welcome(cookie)(scope, receive, answer)
            said = "a wrong token, or none; open the address that the terminal shows"
            return await JSONResponse({"error": said}, 401)(scope, receive, answer)
        await self._app(scope, self._counted(receive), answer)

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str] | None:
        """Returns the status and the reason, or None for a request that may be answered."""
        host = headers.get(b"host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if not (name.lower() in self._hosts or _is_address(name)):
            return 403, f"{host or 'no host'}: not a name of this machine; use the printed address"
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", "none")
        # A link of another page may lead a person here, and a report, whose sandbox has no origin,
        # loads itself again; no page reads what is answered.
        visit = scope["method"] == "GET" and headers.get(b"sec-fetch-dest") == "document"
        if (origin is not None and origin != f"{scope['scheme']}://{host}") or (
            site not in ("same-origin", "none") and not visit
        ):
            return 403, "asked by a page of another site; open Studio's own page"
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > self._limit:
            return 413, self._too_large()
        return None

    def _counted(self, receive: Receive) -> Receive:
        left = self._limit

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                if message.get("more_body"):
                    await _drain(receive)
                raise TooLargeError(self._too_large())
            return message

        return counted

    def _too_large(self) -> str:
        return f"more than {self._limit / 1e6:g} MB; start Studio with a higher --limit"

    def _knows(self, headers: dict[bytes, str], cookie: str) -> bool:
        kind, _, bearer = headers.get(b"authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._same(bearer.strip()):
            return True
        return self._same(cookie_parser(headers.get(b"cookie", "")).get(cookie, ""))

    def _admits(self, given: str) -> bool:
        if hmac.compare_digest(given.encode(), self._once.encode()):
            self._once = secrets.token_urlsafe()  # that nobody knows
            return True
        return self._same(given)

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _welcome(self, cookie: str) -> RedirectResponse:
        """Keeps the token in a cookie, so that no address holds it."""
        response = RedirectResponse("/", 303)
        response.set_cookie(cookie, self._token, YEAR, httponly=True, samesite="lax")
        return response


async def _drain(receive: Receive) -> None:
    """Reads what a client still sends: many look for an answer only after that."""
    left = DRAINED
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if not message.get("more_body"):
            return


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
