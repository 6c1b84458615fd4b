"""Requires a login for the whole site where LOGIN_REQUIRED is set."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from uploads.accounts.programs import wants_json


class LoginRequired(LoginRequiredMiddleware):
    """Django's LoginRequiredMiddleware, if LOGIN_REQUIRED is set. A program gets status 401 instead of a login form."""

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
        if wants_json(request):
            return JsonResponse({"error": "Log in first: this site is for people with an account."}, status=401)
        return super().handle_no_permission(request, view_func)
