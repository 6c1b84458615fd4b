"""Every setting of Tallybox. The environment is read here and nowhere else.

See `environment/` for how a variable is read, and https://docs.djangoproject.com/en/5.2/ref/settings/.
"""

import os
from pathlib import Path
from typing import TypeVar

from environment import kinds, upsun
from environment.kinds import Kind
from environment.variables import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"  # Local data: the SQLite file, the bundled Valkey's data, the generated key.

environment = Environment(upsun.variables(os.environ))
Value = TypeVar("Value")


def read(variable: str, default: str, kind: Kind[Value]) -> Value:
    return environment.read(variable, default, kind.parse, kind.allowed)


def generated_key() -> str:
    """Return the key that `runall` has generated, or an empty text without one: only the web process needs a key."""
    try:
        return (VAR_DIR / "secret-key").read_text()
    except OSError:
        return ""


# The site ------------------------------------------------------------------------------------------------------

DEBUG = read("DEBUG", "0", kinds.SWITCH)
SECRET_KEY = read("SECRET_KEY", generated_key(), kinds.SECRET_KEY)
PORT = read("PORT", "8000", kinds.PORT)
SOCKET = read("SOCKET", "", kinds.SOCKET)
HTTPS = read("HTTPS", "0" if DEBUG else "1", kinds.SWITCH)
LOGIN_REQUIRED = read("LOGIN_REQUIRED", "0" if DEBUG else "1", kinds.SWITCH)
SITE_URL = read("SITE_URL", f"http://127.0.0.1:{PORT}", kinds.SITE)
ALLOWED_HOSTS = read("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", kinds.HOSTS)
CSRF_TRUSTED_ORIGINS = read("CSRF_TRUSTED_ORIGINS", "", kinds.ORIGINS)
ADMIN_EMAIL = read("ADMIN_EMAIL", "", kinds.MAIL_ADDRESS)

ROOT_URLCONF = "urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "uploads:list"
LOGOUT_REDIRECT_URL = "uploads:list"
CSRF_FAILURE_VIEW = "uploads.pages.errors.csrf_failure"

INSTALLED_APPS = [
    "uploads",  # Before django_dramatiq: both have a command `rundramatiq`, and the first app's is run.
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
    "uploads.pages.middleware.no_body_for_head",
    "uploads.pages.middleware.unread_body_drained",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "uploads.pages.middleware.content_security_policy",
    "uploads.pages.middleware.OwnNotFoundPage",
    "uploads.pages.middleware.DatabaseRequired",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "uploads.accounts.middleware.LoginRequired",
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
                "uploads.accounts.access.report_access",
            ]
        },
    }
]

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# Browsers share a host's cookies between all ports. With Django's names a login here would end one on another port.
SESSION_COOKIE_NAME = "tallybox_session"
CSRF_COOKIE_NAME = "tallybox_csrf"
MESSAGE_STORAGE = "uploads.pages.messages.MessageStorage"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for subdomains: the owner of the domain decides, not this site.
    "security.W021",  # HSTS preload list: the owner of the domain decides, too.
]

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # Serves static files also without collectstatic, which only adds compression.
WHITENOISE_MAX_AGE = 0 if DEBUG else 600  # seconds
STORAGES = {
    "default": {"BACKEND": "uploads.storage.media.MediaStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

# Uploads -------------------------------------------------------------------------------------------------------

MEDIA_ROOT = read("MEDIA_ROOT", str(BASE_DIR / "media"), kinds.folder(base=BASE_DIR))
FILE_UPLOAD_HANDLERS: list[str] = []  # The upload page receives files by its own parser; no other page takes any.
MAX_UPLOAD_SIZE = read("MAX_UPLOAD_SIZE", "5GiB", kinds.SIZE)
UPLOAD_FSYNC = read("UPLOAD_FSYNC", "1", kinds.SWITCH)
DATA_UPLOAD_MAX_NUMBER_FILES = 100  # in one request

# Database ------------------------------------------------------------------------------------------------------

DATABASES = {
    "default": read(
        "DATABASE_URL", f"sqlite:///{VAR_DIR / 'db.sqlite3'}", kinds.database(base=BASE_DIR, own_folder=VAR_DIR)
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Messages to the workers ---------------------------------------------------------------------------------------

REDIS_URL = read("REDIS_URL", "redis://127.0.0.1:6379/0", kinds.REDIS)
REDIS_NAMESPACE = read("REDIS_NAMESPACE", "dramatiq", kinds.NAMESPACE)
DRAMATIQ_BROKER = {
    "BROKER": "uploads.workers.broker.Broker",
    "OPTIONS": {"url": REDIS_URL, "namespace": REDIS_NAMESPACE},
    # Not TimeLimit: a large file may take long. The watchdog ends a process whose threads make no progress.
    "MIDDLEWARE": [
        "dramatiq.middleware.AgeLimit",
        "dramatiq.middleware.Callbacks",
        "dramatiq.middleware.Retries",
        "django_dramatiq.middleware.DbConnectionsMiddleware",
    ],
}
DRAMATIQ_AUTODISCOVER_MODULES = ["actors"]
DRAMATIQ_IGNORED_MODULES = ["django_dramatiq.tasks"]  # Its actor deletes rows of a table that stays empty.

# Reports and mail ----------------------------------------------------------------------------------------------

REPORT_SCHEDULE = read("REPORT_SCHEDULE", "60", kinds.SCHEDULE)
REPORT_WHEN = read("REPORT_WHEN", "always", kinds.choice("always", "changed"))
REPORT_RECIPIENTS = read("REPORT_RECIPIENTS", "reports@localhost", kinds.MAILBOXES)
DEFAULT_FROM_EMAIL = read("DEFAULT_FROM_EMAIL", "tallybox@localhost", kinds.MAILBOX)
EMAIL = read("EMAIL_URL", "consolemail://", kinds.MAIL_SERVER)
CONSOLE_MAIL = read("CONSOLE_MAIL", "line", kinds.choice("line", "whole"))
EMAIL_TIMEOUT = 10  # seconds
vars().update(EMAIL)
# The reason why no mail is sent, shown to people; empty where mail is sent.
MAIL_OFF = ""
if EMAIL["EMAIL_BACKEND"] == "django.core.mail.backends.dummy.EmailBackend":
    MAIL_OFF = environment.variables.get("MAIL_OFF") or "EMAIL_URL says so"

# Time, words, logs ---------------------------------------------------------------------------------------------

TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en"
USE_I18N = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"refused_hosts": {"()": "uploads.operations.logs.RefusedHosts"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # The scheduler logs each tick itself; APScheduler's lines would repeat it.
        "apscheduler": {"level": "WARNING"},
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # A refused request has its answer and is no error of this site.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "ERROR", "filters": ["refused_hosts"]},
    },
}

# The names of the variables that are set. `runall` says with them how another process joins its site.
GIVEN_VARIABLES = environment.given
