"""A browser's part: it opens the page, keeps its cookies and sends the form with its token.

As a program, `python -m tests.benchmarks.client PORT UPLOADS CLIENTS BYTES PREFIX PATH`, it is the load: that many
clients at once, in a process that measures nothing else. It prints a JSON list of [name, sent at, answered at].
"""

import http.client
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

BOUNDARY = "----WebKitFormBoundary7Qd2xVb0LkMf3RzA"  # As long as Chromium's: the longer, the sooner it is searched for.
TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="(\w+)"')


class Browser:
    """One keep-alive connection with cookies. The form is sent to `path`."""

    def __init__(self, port: int, path: str = "/") -> None:
        self.path = path
        self.origin = f"http://127.0.0.1:{port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookies: dict[str, str] = {}
        self.token = b""

    def ask(self, method: str, body: bytes | Iterator[bytes] | None = None, **headers: str) -> tuple[int, bytes]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers |= {"Accept": "text/html,*/*;q=0.8"} | ({"Cookie": cookie} if cookie else {})
        self.connection.request(method, self.path if method == "POST" else "/", body=body, headers=headers)
        response = self.connection.getresponse()
        answer = response.read()
        for line in response.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response.status, answer

    def open(self) -> None:
        """Load the page and take the form's token from it."""
        status, page = self.ask("GET")
        token = TOKEN.search(page)
        if status != 200 or not token:
            raise RuntimeError(f"the page answered {status}: {page[:500]!r}")
        self.token = token[1]

    def upload(self, name: str, content: bytes) -> None:
        body = self.head(name) + content + self.tail()
        self.check(*self.ask("POST", body, **self.headers()))

    def head(self, name: str) -> bytes:
        token = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n'.encode()
        return token + self.token + self.part(name)

    def part(self, name: str) -> bytes:
        """Return what comes before a file."""
        file = f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        return file.encode() + b"Content-Type: text/plain\r\n\r\n"

    def tail(self) -> bytes:
        return f"\r\n--{BOUNDARY}--\r\n".encode()

    def headers(self) -> dict[str, str]:
        return {"Origin": self.origin, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    def check(self, status: int, answer: bytes) -> None:
        if status != 302:
            raise RuntimeError(f"the upload was answered with {status}: {answer[:500]!r}")

    def close(self) -> None:
        self.connection.close()


def shows_page(port: int) -> bool:
    browser = Browser(port)
    try:
        browser.open()
    except OSError:
        return False
    finally:
        browser.close()
    return True


def random_text(size: int) -> bytes:
    return os.urandom(-(-size // 2)).hex().encode()[:size]


def one_client(port: int, path: str, names: list[str], size: int) -> Iterator[tuple[str, float, float]]:
    browser = Browser(port, path)
    browser.open()
    for name in names:
        content = random_text(size)
        start = time.time()
        browser.upload(name, content)
        yield name, start, time.time()
    browser.close()


def main(port: int, uploads: int, clients: int, size: int, prefix: str, path: str) -> None:
    names = [f"{prefix}-{number}.txt" for number in range(uploads)]
    with ThreadPoolExecutor(clients) as pool:
        parts = [
            pool.submit(lambda part: list(one_client(port, path, part, size)), names[n::clients])
            for n in range(clients)
        ]
    json.dump([line for part in parts for line in part.result()], sys.stdout)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]), *sys.argv[5:7])
