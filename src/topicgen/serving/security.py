"""Who may ask: token, Host and Origin of a request; and the headers that keep answers where they belong."""

import base64
import binascii
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from topicgen.serving.failures import RequestFailure
from topicgen.serving.settings import LOOPBACK_NAMES, ServerSettings, is_loopback

ANSWER_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CHALLENGE = 'Bearer realm="topicgen", Basic realm="topicgen", charset="UTF-8"'


class Guard:
    """Middleware: answers 401 without the token, 403 for a foreign Host or Origin; sets the headers of all answers.

    The token comes as ``Authorization: Bearer TOKEN``, or as the password of Basic authentication, which browsers ask
    for by themselves. The check of Host keeps out a page whose name was bound anew to this machine's address, the
    check of Origin all other pages of the web.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._token = settings.token.encode() if settings.token else None
        self._names = {name.lower() for name in (*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts)}
        self._addresses = not is_loopback(settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        failure = self._refusal(Headers(scope=scope))
        await (failure.response() if failure else self._app)(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> RequestFailure | None:
        if self._token is not None and not shows(headers.get("authorization", ""), self._token):
            return RequestFailure(401, "this server wants its token", "no_token", {"WWW-Authenticate": _CHALLENGE})
        host = headers.get("host", "")
        if not self._is_ours(host):
            return RequestFailure(403, "this server is not called that; see --allowed-host", "foreign_host")
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            return RequestFailure(403, "pages of other sites may not ask this server", "foreign_origin")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._names or "*" in self._names:
            return True
        return self._addresses and _is_address(name)  # names can be bound anew, addresses cannot


def shows(authorization: str, token: bytes) -> bool:
    """Whether a header shows the token; takes the same time for any token of a length."""
    scheme, _, value = authorization.partition(" ")
    shown = value.strip().encode("utf-8", "replace")
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown, token)


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
