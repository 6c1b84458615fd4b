"""Whether a request comes from a program rather than from a browser, and how it wants its answer."""

from django.http import HttpRequest

from uploads.accounts.visitors import COOKIE


def wants_json(request: HttpRequest) -> bool:
    """Tell a program from a browser, which always asks for HTML too."""
    accept = request.headers.get("Accept", "")
    return "application/json" in accept and "text/html" not in accept


def comes_from_a_program(request: HttpRequest) -> bool:
    """Tell whether no browser sent this, so that CSRF cannot be the matter.

    A browser names an Origin with each POST and has the cookie of the page's form. Without a session there is nobody
    whose rights a foreign page could use.
    """
    return request.COOKIES.keys() <= {COOKIE} and "Origin" not in request.headers
