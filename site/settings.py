"""Every setting of Tallybox. The environment is read here and nowhere else.

A variable that is empty counts as unset. A value that cannot be used stops whatever was started, in one line that
names the variable, the value and what is allowed. See https://docs.djangoproject.com/en/5.2/ref/settings/.
"""

import os
import re
import sys
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from redis import ConnectionPool

from uploads.triggers import parse_schedule

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"  # What this machine keeps for itself: SQLite, the bundled Valkey, the generated key.

# Readers -------------------------------------------------------------------------------------------------------

Value = TypeVar("Value")
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
SECRETS = re.compile(r"(?<=//).*(?=@)|(?<=\?).*", re.DOTALL)  # A user and password, options.


def read(variable: str, default: str, parse: Callable[[str], Value], allowed: str) -> Value:
    """Return what `parse` makes of an environment variable, or end the process with a line that says what is wrong."""
    value = os.environ.get(variable) or default
    try:
        return parse(value)
    except (ValueError, TypeError, LookupError, OSError, ImproperlyConfigured, ValidationError):
        shown = " ".join(SECRETS.sub("…", value).split())
        sys.exit(f"{variable}={shown} cannot be used. Allowed: {allowed}.")


def fail(value: str) -> NoReturn:
    raise ValueError(value)


def parse_switch(value: str) -> bool:
    return {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}[
        value.lower()
    ]


def parse_size(value: str) -> int:
    """Return bytes; `5GiB`, `250 MB` and plain numbers are understood."""
    match = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", value)
    if not match or not int(match[1]):
        raise ValueError(value)
    return int(match[1]) * UNITS[match[2].upper()]


def parse_port(value: str) -> int:
    if not 0 < int(value) < 65536:
        raise ValueError(value)
    return int(value)


def parse_list(value: str) -> list[str]:
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def parse_hosts(value: str) -> list[str]:
    hosts = parse_list(value)
    if not hosts or any(re.search(r"[\s/]", host) for host in hosts):
        raise ValueError(value)
    return hosts


def parse_origins(value: str) -> list[str]:
    origins = parse_list(value)
    for origin in origins:
        if urlsplit(parse_site(origin)).path:
            raise ValueError(value)
    return origins


def parse_site(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(value)
    return value.rstrip("/")


def parse_addresses(value: str) -> list[str]:
    addresses = parse_list(value)
    for address in addresses:
        validate_email(parseaddr(address)[1])
    return addresses or fail(value)


def parse_redis(value: str) -> str:
    ConnectionPool.from_url(value).make_connection()  # Fails where something is wrong; nothing is connected.
    parts = urlsplit(value)
    return value if parts.scheme == "unix" or parts.port is None or parts.port else fail(value)


def parse_database(value: str) -> dict[str, object]:
    if urlsplit(value).scheme not in ("postgres", "postgresql", "pgsql", "sqlite"):
        raise ValueError(value)
    database = environ.Env.db_url_config(value)
    if database.get("ENGINE") == "django.db.backends.sqlite3" and database["NAME"]:
        database["NAME"] = str(BASE_DIR / str(database["NAME"]))  # The same file from any working directory.
        Path(database["NAME"]).parent.mkdir(parents=True, exist_ok=True)
        # Readers do not block the writer (WAL), and two writers wait for each other instead of failing.
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,  # seconds
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    elif database.get("ENGINE") == "django.db.backends.postgresql" and database["NAME"]:
        database["OPTIONS"] = {"connect_timeout": 5, **database.get("OPTIONS", {})}  # seconds
    else:
        raise ValueError(value)
    return {**database, "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}


def parse_email(value: str) -> dict[str, object]:
    email = dict(environ.Env.email_url_config(value))
    return email if email["EMAIL_HOST"] or not urlsplit(value).scheme.startswith("smtp") else fail(value)


def parse_folder(value: str) -> str:
    folder = (BASE_DIR / value).resolve()  # The same folder from any working directory.
    return str(folder) if folder.is_dir() or not folder.exists() else fail(value)


def parse_choice(*choices: str) -> Callable[[str], str]:
    return lambda value: choices[choices.index(value)]


def read_secret_key() -> str:
    """Return the key, or an empty text where there is none: the worker and the scheduler sign nothing."""
    generated = VAR_DIR / "secret-key"
    return os.environ.get("SECRET_KEY") or (generated.read_text() if generated.is_file() else "")


SWITCH = "1 or 0"
ADDRESSES = "mail addresses separated by commas"
SITE = "an address such as https://files.example.com"

# The site ------------------------------------------------------------------------------------------------------

DEBUG = read("DEBUG", "0", parse_switch, SWITCH)
SECRET_KEY = read_secret_key()
PORT = read("PORT", "8000", parse_port, "a port from 1 to 65535")
HTTPS = read("HTTPS", "0" if DEBUG else "1", parse_switch, SWITCH)
LOGIN_REQUIRED = read("LOGIN_REQUIRED", "0" if DEBUG else "1", parse_switch, SWITCH)
SITE_URL = read("SITE_URL", f"http://127.0.0.1:{PORT}", parse_site, SITE)
ALLOWED_HOSTS = read("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", parse_hosts, "host names separated by commas")
CSRF_TRUSTED_ORIGINS = read("CSRF_TRUSTED_ORIGINS", "", parse_origins, f"{SITE}, several separated by commas")

ROOT_URLCONF = "urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "uploads:list"
LOGOUT_REDIRECT_URL = "uploads:list"
CSRF_FAILURE_VIEW = "uploads.answers.csrf_failure"

INSTALLED_APPS = [
    "uploads",  # Before django_dramatiq: its rundramatiq is ours with other defaults.
    "scheduler",
    "django_dramatiq",
    "django_htmx",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "uploads.middleware.content_security_policy",
    "uploads.middleware.DatabaseRequired",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "uploads.middleware.LoginRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "uploads.reports.views.may_read_reports",
            ]
        },
    }
]

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SILENCED_SYSTEM_CHECKS = [
    "files.E001",  # The folder for arriving files is made with the first of them: the mount may come later.
    "security.W005",  # Whether subdomains follow is the domain owner's business, not this site's.
    "security.W021",  # So is the browsers' preload list.
]

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # Serves also where nobody ran collectstatic, which only adds compression.
WHITENOISE_MAX_AGE = 0 if DEBUG else 600  # seconds
STORAGES = {
    "default": {"BACKEND": "uploads.storage.MediaStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

# Uploads -------------------------------------------------------------------------------------------------------

MEDIA_ROOT = read("MEDIA_ROOT", str(BASE_DIR / "media"), parse_folder, "a folder")
# Files arrive on the media mount itself, so that finishing an upload is a rename.
FILE_UPLOAD_TEMP_DIR = str(Path(MEDIA_ROOT) / "incoming")
MAX_UPLOAD_SIZE = read("MAX_UPLOAD_SIZE", "5GiB", parse_size, "a size such as 500MB or 5GiB")
UPLOAD_FSYNC = read("UPLOAD_FSYNC", "1", parse_switch, SWITCH)
DATA_UPLOAD_MAX_NUMBER_FILES = 100  # in one request

# Database ------------------------------------------------------------------------------------------------------

DATABASES = {
    "default": read(
        "DATABASE_URL",
        f"sqlite:///{VAR_DIR / 'db.sqlite3'}",
        parse_database,
        "postgres://user:password@host:port/name or sqlite:////folder/file",
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Messages to the workers ---------------------------------------------------------------------------------------

REDIS_URL = read("REDIS_URL", "redis://127.0.0.1:6379/0", parse_redis, "redis://host:port/0, rediss:// or unix://")
DRAMATIQ_BROKER = {
    "BROKER": "uploads.broker.Broker",
    "OPTIONS": {"url": REDIS_URL},
    "MIDDLEWARE": [
        "dramatiq.middleware.AgeLimit",
        "dramatiq.middleware.TimeLimit",
        "dramatiq.middleware.Callbacks",
        "dramatiq.middleware.Retries",
        "django_dramatiq.middleware.DbConnectionsMiddleware",
    ],
}
DRAMATIQ_AUTODISCOVER_MODULES = ["actors"]
DRAMATIQ_IGNORED_MODULES = ["django_dramatiq.tasks"]  # It prunes a table that nothing here writes.

# Reports and mail ----------------------------------------------------------------------------------------------

REPORT_SCHEDULE = read(
    "REPORT_SCHEDULE", "60", parse_schedule, "seconds between reports, or a cron line such as 0 8 * * mon-fri"
)
REPORT_WHEN = read("REPORT_WHEN", "always", parse_choice("always", "changed"), "always or changed")
REPORT_RECIPIENTS = read("REPORT_RECIPIENTS", "reports@localhost", parse_addresses, ADDRESSES)
DEFAULT_FROM_EMAIL = read(
    "DEFAULT_FROM_EMAIL", "tallybox@localhost", lambda value: parse_addresses(value)[0], ADDRESSES
)

EMAIL = read("EMAIL_URL", "consolemail://", parse_email, "consolemail:// or smtp://user:password@host:port")
if EMAIL["EMAIL_BACKEND"] == "django.core.mail.backends.console.EmailBackend":
    EMAIL["EMAIL_BACKEND"] = "uploads.reports.console.EmailBackend"
EMAIL_TIMEOUT = 10  # seconds
vars().update(EMAIL)

# Time, words, logs ---------------------------------------------------------------------------------------------

TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en"
USE_I18N = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # The scheduler says what it sends; APScheduler's own lines would only repeat it.
        "apscheduler": {"level": "WARNING"},
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # Refused requests are answered, not errors of ours.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
