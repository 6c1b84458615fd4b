"""How gunicorn serves Tallybox: `gunicorn wsgi` needs nothing else. See https://docs.gunicorn.org/en/stable/settings.html."""

import gc
import logging
import os
import sys
from pathlib import Path

from gunicorn.http.unreader import SocketUnreader

sys.path.insert(0, str(Path(__file__).parent))  # gunicorn adds only the working directory.
from manage import ROOT, put_on_path  # noqa: E402

put_on_path()
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
timeout = 60  # Seconds without a heartbeat from a worker. Its main thread sends them, also during a long upload.
graceful_timeout = 10  # Seconds for requests in flight on SIGTERM; platforms kill after 15.
preload_app = True  # Workers share the memory of the loaded code, and a bad setting stops the start.
control_socket_disable = True  # Nothing manages gunicorn through a socket.
# Bytes of a body in one recv(), as many as uploads/receiving/multipart.py reads at a time. With gunicorn's default of
# 1 MiB each read would copy the bytes that are left over for the next read.
SocketUnreader.max_body_chunk = 256 * 1024


def when_ready(server: object) -> None:
    """Load URLs and templates before the workers are forked, so that they share this memory. Log an unusable database.

    gc.freeze() exempts the loaded objects from garbage collection, which would write to their pages and unshare them.
    """
    from django.db import connections
    from django.template.loader import get_template
    from django.urls import reverse

    from uploads.workers.outage import obstacle

    reverse("uploads:list")
    for template in ("base.html", "uploads/list.html"):
        get_template(template)
    if reason := obstacle():
        logging.getLogger(__name__).warning("not ready: %s", reason)
    connections.close_all()
    gc.collect()
    gc.freeze()
