"""What keeps the page to its owner: who may ask, what may be asked, what a browser may do with it.

Host        must be this machine: else any web site could reach us by a name of its own (DNS
            rebinding)
cross-site  another site may link here, but not fetch or embed
headers     a strict CSP without inline script or style, no sniffing, no frames, no referrer
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = {"127.0.0.1", "localhost"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
# A page names our files by an address that changes when they do; fonts are named in the style.
KEPT = "max-age=86400"


class Guard:
    """Wraps the application. `port` is the one it listens on; None: any."""

    def __init__(self, app: ASGIApp, port: int | None) -> None:
        self.app, self.port = app, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refused(headers)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    sent[name] = value
                kept = scope["path"].startswith("/static/") and message["status"] in (200, 304)
                sent["cache-control"] = KEPT if kept else "no-store"
            await send(message)

        await (refused or self.app)(scope, receive, guarded)

    def _refused(self, headers: Headers) -> PlainTextResponse | None:
        host, _, port = headers.get("host", "").partition(":")
        if host not in HOSTS or (self.port is not None and port != str(self.port)):
            return PlainTextResponse("This page answers to this machine only.", 421)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        ):
            return PlainTextResponse("Other sites may not read this page.", 403)
        return None
