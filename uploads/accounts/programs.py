"""Whether a request comes from a program rather than from a browser, and how it wants its answer."""

from django.http import HttpRequest

from uploads.accounts.visitors import COOKIE


def wants_json(request: HttpRequest) -> bool:
    """Tell a program from a browser, which always asks for HTML too."""
    accept = request.headers.get("Accept", "")
    return "application/json" in accept and "text/html" not in accept


def comes_from_a_program(request: HttpRequest) -> bool:
    """Tell whether a program, not a browser, sent this request, so that it needs no CSRF check.

    A browser sends an Origin header with each POST and the form's CSRF cookie. A request without a session cookie has
    no user whose rights a foreign page could abuse.
    """
    return request.COOKIES.keys() <= {COOKIE} and "Origin" not in request.headers
