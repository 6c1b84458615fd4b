"""Whether this process lives, and whether the site can do its work: for a router, a monitor, an operator."""

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
from uploads.workers.outage import AWAY, obstacle, one_line

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
    """Answer as long as the process does."""
    return HttpResponse("ok\n", content_type="text/plain")


@database_not_required
@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Tell of each part of the site whether it works, and of workers and schedulers how old the last heartbeat is.

    The status is 503 where no page can be served, for the router's sake: without Redis, a worker or a scheduler uploads
    are still taken. With `?strict=1` it is 503 where any part does not work.
    """
    checks = check_database_and_more() | {"redis": check_redis()}
    is_well = all(check["ok"] for check in checks.values())
    is_ready = is_well if request.GET.get("strict") == "1" else checks["database"]["ok"]
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JsonResponse({"ok": is_well, **checks}, status=status)


def check_database_and_more() -> Checks:
    """Check the database and, where it can be used, what is known from it."""
    try:
        if error := obstacle():
            return {"database": {"ok": False, "error": error}}
        return {"database": {"ok": True}, "media": check_media(), **check_processes()}
    except AWAY as error:
        return {"database": {"ok": False, "error": one_line(error)}}


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
