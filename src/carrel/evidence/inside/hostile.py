"""What would a service inside say to a browser, if somebody malicious wrote it?"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOREIGN = "https://carrel-bait.example"


class _Hostile(BaseHTTPRequestHandler):
    """Answers everything with what a browser must never see; echoes what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer any path; the headers depend on its last part."""
        wish = self.path.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
        body = json.dumps({"path": self.path, "headers": dict(self.headers.items())}).encode()
        self.send_response(302 if wish == "redirect" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "bait=1; Domain=carrel-bait.example; Path=/")
        self.send_header("Set-Cookie", "__Host-carrel=stolen; Path=/; Secure")
        self.send_header("Content-Security-Policy", "default-src *")
        self.send_header("Referrer-Policy", "unsafe-url")
        self.send_header("Service-Worker-Allowed", "/")
        if wish == "redirect":
            self.send_header("Location", f"{FOREIGN}/")
        if wish == "attachment":
            self.send_header("Content-Disposition", 'attachment; filename="patients.csv"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


def serve(port: int) -> None:
    """Answer on 127.0.0.1:`port` until the process ends."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
