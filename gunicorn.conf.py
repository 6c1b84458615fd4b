"""How gunicorn serves Tallybox: `gunicorn wsgi` needs nothing else. See https://docs.gunicorn.org/en/stable/settings.html."""

import gc
import os
import sys
from pathlib import Path

from gunicorn.http.unreader import SocketUnreader

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT), str(ROOT / "site")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

# Only now can these be imported.
import settings  # noqa: E402
from uploads.operations.listening import listening_addresses  # noqa: E402

if not settings.SECRET_KEY:
    sys.exit("SECRET_KEY is not set. Allowed: 50 or more random characters, the same for every process.")

wsgi_app = "wsgi"
chdir = str(ROOT)
pythonpath = str(ROOT / "site")
bind = listening_addresses(settings.SOCKET, settings.PORT)
workers = 2
worker_class = "gthread"  # A slow client must not hold up the others.
threads = 16
timeout = 60  # Seconds without a sign of life from a worker; a long upload keeps giving them.
graceful_timeout = 10  # Seconds for requests in flight on SIGTERM; platforms kill after 15.
preload_app = True  # Workers share the memory of the loaded code, and a bad setting stops the start.
control_socket_disable = True
# Bytes of a body to receive at once, as many as uploads/receiving/multipart.py reads. With more, 1 MiB by default,
# gunicorn copies the rest of each piece at each read.
SocketUnreader.max_body_chunk = 256 * 1024


def when_ready(server: object) -> None:
    """Load what the first request would load in each worker, and keep its memory shared: without the collector's marks
    its pages stay as they are."""
    from django.template.loader import get_template
    from django.urls import reverse

    reverse("uploads:list")
    for template in ("base.html", "uploads/list.html"):
        get_template(template)
    gc.collect()
    gc.freeze()
