"""A browser behind the platform's router: cookies kept, HTTPS outside, a Unix socket inside."""

import http.client
import socket
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Browser:
    def __init__(self, path: Path, host: str) -> None:
        self.path, self.host = path, host
        self.cookies: SimpleCookie = SimpleCookie()

    def get(self, address: str, **headers: str) -> tuple[int, bytes, str]:
        return self.send("GET", address, b"", **headers)

    def post(self, address: str, fields: dict[str, Any], **headers: str) -> tuple[int, bytes, str]:
        token = self.cookies["tallybox_csrf"].value
        body = encode_multipart(BOUNDARY, {**fields, "csrfmiddlewaretoken": token})
        return self.send(
            "POST", address, body, **{"Content-Type": MULTIPART_CONTENT, "Origin": f"https://{self.host}", **headers}
        )

    def send(self, method: str, address: str, body: bytes, **headers: str) -> tuple[int, bytes, str]:
        """Return status, body and where a redirect leads, which is not followed."""
        router = {"Host": self.host, "X-Forwarded-Proto": "https", "X-Client-IP": "192.0.2.1"}
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())
        connection = UnixConnection(self.path)
        path = address.removeprefix(f"https://{self.host}")
        connection.request(method, path, body, {**router, "Cookie": cookies, **headers})
        response = connection.getresponse()
        for line in response.headers.get_all("Set-Cookie") or []:
            self.cookies.load(line)
            assert "Secure" in line
        answer = response.status, response.read(), response.headers.get("Location", "")
        connection.close()
        return answer
