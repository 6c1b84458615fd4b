"""Translates the variables of Upsun into Tallybox's own. See https://docs.upsun.com/development/variables.html.

Anywhere else this module changes nothing: only the platform sets `PLATFORM_APPLICATION_NAME`. A build has neither
services nor routes; the platform sets `PLATFORM_ENVIRONMENT` for deploy hooks and running containers only.
"""

import base64
import json
import sys
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

DATABASE, REDIS = "POSTGRESQL", "REDIS"  # A relationship's variables begin with its name in .upsun/config.yaml.
NO_DATABASE = "postgres://nobody@the-build-has-no-database.invalid/none"
NO_MAIL = "dummymail://"


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Merge three sources: the platform's values, what a person has set, safeguards for previews. The later one wins.

    A variable that is empty counts as unset.
    """
    plain = {name: value for name, value in environ.items() if value}
    if "PLATFORM_APPLICATION_NAME" not in plain:
        return plain
    if is_platforms_own(plain, f"{REDIS}_URL"):
        del plain[f"{REDIS}_URL"]
    if "PLATFORM_ENVIRONMENT" not in plain:
        return {"DATABASE_URL": NO_DATABASE, **plain}
    return {**at_run(plain), **plain, **safeguards(plain)}


def is_platforms_own(environ: Mapping[str, str], variable: str) -> bool:
    """Tell whether the platform, not a person, has set a URL: then the URL names the relationship's own host.

    The platform's URL may have a scheme that redis-py does not know, so `services` builds another one.
    """
    host = environ.get(f"{variable.removesuffix('_URL')}_HOST")
    return bool(host) and urlsplit(environ.get(variable, "")).hostname == host


def at_run(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the platform's values for a deploy hook or a running container."""
    return {
        "SECRET_KEY": secret_key(environ),
        # Elsewhere DEBUG switches these two off. Not here: a preview holds copies of production's files and names.
        "LOGIN_REQUIRED": "1",
        "HTTPS": "1",
        **services(environ),
        **site(environ),
        **mail(environ),
    }


def services(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the URLs of database and Redis. Where a person has set a URL, that relationship may be missing."""
    urls = {}
    if "DATABASE_URL" not in environ:
        urls["DATABASE_URL"] = f"postgres://{address(environ, DATABASE)}/{quote(environ.get(f'{DATABASE}_PATH', ''))}"
    if "REDIS_URL" not in environ:
        urls["REDIS_URL"] = f"redis://{address(environ, REDIS)}/0"
    return urls


def secret_key(environ: Mapping[str, str]) -> str:
    """Return a key that no other environment of the project has, or an empty text where the platform gives no entropy.

    A preview has copies of production's accounts. With the same key a session or a password link made in the preview
    would open production. People with a shell in a preview can still compute production's key, because all environments
    share the project's entropy; a SECRET_KEY set for production alone prevents that (docs/upsun.md).
    """
    entropy = environ.get("PLATFORM_PROJECT_ENTROPY")
    return f"{entropy}:{environ['PLATFORM_ENVIRONMENT']}" if entropy else ""


def address(environ: Mapping[str, str], relationship: str) -> str:
    """Return a service's `user:password@host:port`, or `host:port` where it has no login.

    If there is no such relationship, the process ends with a line that names it.
    """
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
    """Return hosts, origins, address and sender from the routes that lead to an app; nothing where none is HTTPS.

    Routes that redirect are left out. The primary route comes first and is the site's address.
    """
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
    """Return recipients and the platform's mail server, or that mail is off and why."""
    recipients = {"REPORT_RECIPIENTS": environ.get("ADMIN_EMAIL", "")}
    if host := environ.get("PLATFORM_SMTP_HOST"):
        return {**recipients, "EMAIL_URL": f"smtp://{host}:25"}
    reason = "Upsun sends no mail for this environment (upsun environment:info enable_smtp true)"
    return {**recipients, **no_mail(reason)}


def safeguards(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values that win over a person's variables, because a preview inherits those from production.

    Each environment has its own Redis namespace: the messages in a preview's copy of Redis are production's and stay
    unread. Mail is off in a preview unless its branch is named, because the addresses in its copy of the database are
    those of real people. Mail is also off where neither ADMIN_EMAIL nor REPORT_RECIPIENTS names a recipient.
    """
    namespace = {"REDIS_NAMESPACE": f"dramatiq-{environ['PLATFORM_ENVIRONMENT']}"}
    if is_preview(environ) and not may_mail_from_previews(environ):
        reason = f"this is a preview environment, which mails nobody (MAIL_FROM_PREVIEWS={branch(environ)} lets it)"
        return {**namespace, **no_mail(reason)}
    if not (environ.get("REPORT_RECIPIENTS") or environ.get("ADMIN_EMAIL")):
        return {**namespace, **no_mail("nobody is to get it (set ADMIN_EMAIL or REPORT_RECIPIENTS)")}
    return namespace


def is_preview(environ: Mapping[str, str]) -> bool:
    """Tell whether this is not production. An environment without a type counts as a preview."""
    return environ.get("PLATFORM_ENVIRONMENT_TYPE") != "production"


def may_mail_from_previews(environ: Mapping[str, str]) -> bool:
    """Tell whether MAIL_FROM_PREVIEWS names this branch.

    The variable is not just 1 or 0, because branches made from this one inherit it and would send mail, too.
    """
    return branch(environ) in environ.get("MAIL_FROM_PREVIEWS", "").split(",")


def branch(environ: Mapping[str, str]) -> str:
    """Return the branch's name, or the environment's where the platform names no branch."""
    return environ.get("PLATFORM_BRANCH") or environ["PLATFORM_ENVIRONMENT"]


def no_mail(reason: str) -> dict[str, str]:
    """Return the values that switch mail off; the reason is shown to people."""
    return {"EMAIL_URL": NO_MAIL, "MAIL_OFF": reason}
