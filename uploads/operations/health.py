"""Health checks for a router, a monitor or an operator: of this process, and of each part of the site."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from dramatiq import get_broker
from redis.exceptions import RedisError

from uploads.models import Heartbeat, Upload
from uploads.storage import mount
from uploads.workers.heartbeat import SILENCE
from uploads.workers.outage import AWAY, missing_migrations, one_line

View = Callable[..., HttpResponse]
Checks = dict[str, dict[str, Any]]  # A part of the site → whether it is `ok`, and what is wrong or its age in seconds.


def database_not_required(view: View) -> View:
    """Let a view answer while the database is away."""
    view.database_required = False  # type: ignore[attr-defined]
    return view


@database_not_required
@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 whenever this process handles requests, whatever else is down."""
    return HttpResponse("ok\n", content_type="text/plain")


@database_not_required
@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Tell for each part of the site whether it works, and for workers and schedulers the age of the last heartbeat.

    The status is 503 only while the database is away or lacks migrations. Without Redis, a worker or a scheduler the
    site still takes uploads, so a router must keep sending requests. With `?strict=1` any part that does not work makes
    the status 503.
    """
    checks = check_database_and_more() | {"redis": check_redis()}
    is_well = all(check["ok"] for check in checks.values())
    serves_pages = checks["database"]["ok"] and checks["migrations"]["ok"]
    is_ready = is_well if request.GET.get("strict") == "1" else serves_pages
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    response = JsonResponse({"ok": is_well, **checks}, status=status)
    response._has_been_logged = True  # type: ignore[attr-defined]  # Not a line in the log at each question.
    return response


def check_database_and_more() -> Checks:
    """Check the database and, if it can be used, the media mount and the heartbeats, which need the database."""
    try:
        if missing := missing_migrations():
            error = f"the database lacks {missing} migrations; run: manage.py migrate"
            return {"database": {"ok": True}, "migrations": {"ok": False, "error": error}}
        return {"database": {"ok": True}, "migrations": {"ok": True}, "media": check_media(), **check_processes()}
    except AWAY as error:
        unknown = {"ok": False, "error": "unknown while the database is away"}
        return {"database": {"ok": False, "error": one_line(error)}, "migrations": unknown}


def check_processes() -> Checks:
    longest = SILENCE.total_seconds()
    return {
        role: {"ok": age is not None and age < longest, "age": age} for role, age in Heartbeat.objects.ages().items()
    }


def check_media() -> dict[str, Any]:
    if Upload.objects.are_out_of_reach():
        return {"ok": False, "error": "the media mount is away"}
    return {"ok": True} if mount.is_writable() else {"ok": False, "error": "the media folder cannot be written"}


def check_redis() -> dict[str, Any]:
    broker: Any = get_broker()
    try:
        broker.client.ping()
    except RedisError as error:
        return {"ok": False, "error": one_line(error)}
    return {"ok": True}
