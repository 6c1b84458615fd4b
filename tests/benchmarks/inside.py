"""What is measured inside a process of either side: `python inside.py TASK ...`, in its environment, prints JSON.

It runs with the peer's interpreter too, so it imports nothing but Django and the side's own modules.
"""

import json
import re
import statistics
import sys
import time
import uuid
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.core import signing
from django.core.management import call_command
from django.db import connection
from rows import EARLY_VISITOR, IS_OURS, VISITOR, fill, first_row, model  # Beside this file, which is run by its path.


def peak() -> float:
    """Return this process's peak resident memory, MiB."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) / 1024 if match else 0.0


def report() -> dict[str, Any]:
    """Compose and send one report."""
    send = (lambda: call_command("send_report")) if IS_OURS else import_module("peer.tasks").mail_report
    model().objects.first()  # Connects.
    before, start = peak(), time.perf_counter()
    send()
    return {"seconds": time.perf_counter() - start, "before": before, "peak": peak()}


def pages(views: str) -> dict[str, Any]:
    """View pages of the list as the visitor who owns most rows, and the first as the one who owns the oldest; return
    the queries and the median ms of each."""
    client, early = browser_of(VISITOR), browser_of(EARLY_VISITOR)
    addresses = {
        "first page": "/",
        "last page": "/?after=0",
        "search, some hits": "/?q=4242",
        "search, all hits": "/?q=file",
        "search, every tenth hits": "/?q=invoice",
        "search, no hit": "/?q=nowhere",
        "search, no hit for two letters": "/?q=zq",
    }
    viewed = {name: view(client, address, int(views)) for name, address in addresses.items()}
    return {"first page of who has the oldest": view(early, "/", int(views)), **viewed}


def browser_of(visitor: uuid.UUID) -> Any:
    from django.test import Client

    from uploads.accounts.visitors import COOKIE

    client = Client(SERVER_NAME="127.0.0.1")
    client.cookies[COOKIE] = signing.get_cookie_signer(salt=COOKIE).sign(str(visitor))
    return client


def view(client: Any, address: str, views: int) -> dict[str, float]:
    queries: list[str] = []

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        queries.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        assert client.get(address).status_code == 200
    times = []
    for _ in range(views):
        start = time.perf_counter()
        client.get(address)
        times.append((time.perf_counter() - start) * 1000)
    return {"queries": len(queries), "ms": statistics.median(times)}


def queue(files: str, name: str) -> dict[str, Any]:
    """Let so many pending uploads of one and the same stored file wait in Redis."""
    from uploads.actors import process_upload

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM uploads_upload")  # Not by the model, which would delete the file, too.
    row = {"file": name, "status": "pending", "attempts": 0, "processed_at": None, "content_type": ""}
    keys = [first_row(**row).pk for _ in range(int(files))]
    for key in keys:
        process_upload.send(key)
    return {"queued": len(keys)}


TASKS = {"fill": fill, "report": report, "pages": pages, "queue": queue}

if __name__ == "__main__":
    django.setup()
    with redirect_stdout(sys.stderr):
        answer = TASKS[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write(json.dumps(answer) + "\n")
