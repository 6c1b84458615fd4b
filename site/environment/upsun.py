"""What Upsun tells a container, as values of our own variables. See https://docs.upsun.com/development/variables.html.

Does nothing anywhere else: `PLATFORM_APPLICATION_NAME` is set by the platform only. While the app is being built there
are no services, no routes and no environment yet; `PLATFORM_ENVIRONMENT` is set from then on.
"""

import base64
import json
import sys
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

DATABASE, REDIS = "POSTGRESQL", "REDIS"  # The relationships of .upsun/config.yaml, as their variables begin.
NO_DATABASE = "postgres://nobody@the-build-has-no-database.invalid/none"
NO_MAIL = "dummymail://"


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set, for those that are not what the platform says, and over all the safeguards."""
    plain = {name: value for name, value in environ.items() if value}
    if "PLATFORM_APPLICATION_NAME" not in plain:
        return plain
    if is_platforms_own(plain, f"{REDIS}_URL"):
        del plain[f"{REDIS}_URL"]
    if "PLATFORM_ENVIRONMENT" not in plain:
        return {"DATABASE_URL": NO_DATABASE, **plain}
    return {**at_run(plain), **plain, **safeguards(plain)}


def is_platforms_own(environ: Mapping[str, str], variable: str) -> bool:
    """Tell the platform's URL of a relationship, whose scheme is its own affair, from one that a person has set."""
    host = environ.get(f"{variable.removesuffix('_URL')}_HOST")
    return bool(host) and urlsplit(environ.get(variable, "")).hostname == host


def at_run(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        "SECRET_KEY": secret_key(environ),
        # Also with DEBUG, which loosens them elsewhere: a preview has copies of production's files and names.
        "LOGIN_REQUIRED": "1",
        "HTTPS": "1",
        **services(environ),
        **site(environ),
        **mail(environ),
    }


def services(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the URLs that nobody has set: who has servers elsewhere needs no relationships."""
    urls = {}
    if "DATABASE_URL" not in environ:
        urls["DATABASE_URL"] = f"postgres://{address(environ, DATABASE)}/{quote(environ.get(f'{DATABASE}_PATH', ''))}"
    if "REDIS_URL" not in environ:
        urls["REDIS_URL"] = f"redis://{address(environ, REDIS)}/0"
    return urls


def secret_key(environ: Mapping[str, str]) -> str:
    """Return a key of this environment's own: a preview has production's accounts, so that with one key a link or a
    session made in a preview would open production.

    It is no secret from people with a shell in a preview: one entropy serves the whole project. Against them
    production has a SECRET_KEY of its own (docs/upsun.md).
    """
    entropy = environ.get("PLATFORM_PROJECT_ENTROPY")
    return f"{entropy}:{environ['PLATFORM_ENVIRONMENT']}" if entropy else ""


def address(environ: Mapping[str, str], relationship: str) -> str:
    """Return `user:password@host:port` of a service, the user only where it has one, or end the process without it."""
    user, password, host, port = (
        environ.get(f"{relationship}_{part}", "") for part in ("USERNAME", "PASSWORD", "HOST", "PORT")
    )
    if not host:
        sys.exit(
            f"{relationship}_HOST is not set: this container has no relationship `{relationship.lower()}`. "
            "See `relationships` in .upsun/config.yaml; a worker with some of its own has none of the app's."
        )
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return f"{login}{host}:{port}"


def site(environ: Mapping[str, str]) -> dict[str, str]:
    """Return where the site is reached, from the routes that lead to an app; others redirect, or are HTTP twins."""
    routes = json.loads(base64.b64decode(environ.get("PLATFORM_ROUTES", "")) or "{}")
    ours = {url: route for url, route in routes.items() if route["type"] == "upstream"}
    secure = sorted((url for url in ours if url.startswith("https:")), key=lambda url: not ours[url].get("primary"))
    if not secure:
        return {}
    origins = [url.rstrip("/") for url in secure]
    return {
        "ALLOWED_HOSTS": ",".join(dict.fromkeys(urlsplit(url).netloc.removeprefix("*") for url in ours)),
        "CSRF_TRUSTED_ORIGINS": ",".join(origins),
        "SITE_URL": origins[0],
        # The platform's mail server drops a sender of another domain.
        "DEFAULT_FROM_EMAIL": f"tallybox@{urlsplit(origins[0]).hostname}",
    }


def mail(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the mail server, or that there is none and why."""
    recipients = {"REPORT_RECIPIENTS": environ.get("ADMIN_EMAIL", "")}
    if host := environ.get("PLATFORM_SMTP_HOST"):
        return {**recipients, "EMAIL_URL": f"smtp://{host}:25"}
    reason = "Upsun sends no mail for this environment (upsun environment:info enable_smtp true)"
    return {**recipients, **no_mail(reason)}


def safeguards(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what wins over a person's variables: a preview inherits production's, with copies of its data.

    The messages in its copy of Redis are production's and stay unread; the addresses in its copy of the database are
    real people's and get no mail. Where nobody is named, the default recipient gets none.
    """
    namespace = {"REDIS_NAMESPACE": f"dramatiq-{environ['PLATFORM_ENVIRONMENT']}"}
    if is_preview(environ) and not may_mail_from_previews(environ):
        reason = f"this is a preview environment, which mails nobody (MAIL_FROM_PREVIEWS={branch(environ)} lets it)"
        return {**namespace, **no_mail(reason)}
    if not (environ.get("REPORT_RECIPIENTS") or environ.get("ADMIN_EMAIL")):
        return {**namespace, **no_mail("nobody is to get it (set ADMIN_EMAIL or REPORT_RECIPIENTS)")}
    return namespace


def is_preview(environ: Mapping[str, str]) -> bool:
    return environ.get("PLATFORM_ENVIRONMENT_TYPE") != "production"


def may_mail_from_previews(environ: Mapping[str, str]) -> bool:
    """Tell whether this very branch was named: a mere switch would be inherited by the branches made from it."""
    return branch(environ) in environ.get("MAIL_FROM_PREVIEWS", "").split(",")


def branch(environ: Mapping[str, str]) -> str:
    return environ.get("PLATFORM_BRANCH") or environ["PLATFORM_ENVIRONMENT"]


def no_mail(reason: str) -> dict[str, str]:
    return {"EMAIL_URL": NO_MAIL, "MAIL_OFF": reason}
