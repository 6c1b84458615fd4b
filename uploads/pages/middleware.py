"""What holds for every request: what a page may load, that the database is there, who gets in."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse

from uploads.pages.errors import database_down, not_found, wants_json
from uploads.receiving.multipart import drain

GetResponse = Callable[[HttpRequest], HttpResponseBase]
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"


def content_security_policy(get_response: GetResponse) -> GetResponse:
    """Allow pages only what comes from the site itself, unless the view has said otherwise."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return middleware


def no_body_for_head(get_response: GetResponse) -> GetResponse:
    """Answer HEAD without the body that its GET has: gunicorn would drop it and complain."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method == "HEAD":
            if isinstance(response, StreamingHttpResponse):
                response.streaming_content = ()
            elif isinstance(response, HttpResponse):
                response.content = b""
        return response

    return middleware


class OwnNotFoundPage:
    """Shows the site's own page for what a view does not find, also where DEBUG would show Django's."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return not_found(request, exception) if isinstance(exception, Http404) else None


class DatabaseRequired:
    """Answers 503 while the database cannot be reached: at once, before a body is read, or when it goes away later."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path in ("/healthz", "/readyz"):
            return self.get_response(request)
        try:
            with connection.cursor():  # Connects, or checks the connection that the thread kept.
                pass
        except (InterfaceError, OperationalError) as error:
            return database_down(request, error)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return database_down(request, exception) if isinstance(exception, InterfaceError | OperationalError) else None


class LoginRequired(LoginRequiredMiddleware):
    """Django's own, where LOGIN_REQUIRED is set; a program gets 401 rather than a form."""

    def process_view(
        self,
        request: HttpRequest,
        view_func: Callable[..., Any],
        view_args: tuple[Any, ...],
        view_kwargs: dict[str, Any],
    ) -> HttpResponseBase | None:
        if not settings.LOGIN_REQUIRED:
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)

    def handle_no_permission(  # type: ignore[override]  # Django's own always redirects
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponse:
        drain(request)
        if wants_json(request):
            return JsonResponse({"error": "Log in first: this site is for people with an account."}, status=401)
        return super().handle_no_permission(request, view_func)
