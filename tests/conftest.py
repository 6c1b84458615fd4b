"""Starts PostgreSQL and Valkey for the session, and gives tests an empty media mount, mailbox and browser."""

import os
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.browser import page  # noqa: F401 - a fixture
from tests.servers.postgres import Postgres
from tests.servers.product import ROOT, copy_product, plain_environment
from tests.servers.smtp import Mailbox
from tests.servers.valkey import Valkey

servers: list[Any] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--use-spawn", action="store_true", help="start each worker with rundramatiq's --use-spawn")


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers before Django reads its settings. DATABASE_URL chooses another database.

    With pytest-xdist each of its processes has servers of its own, and the one that hands out the tests has none.
    """
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return
    if config.option.help or config.option.collectonly:
        database, broker = "sqlite:///nothing-is-run.sqlite3", "redis://127.0.0.1:1/0"
    else:
        valkey = Valkey()
        servers.append(valkey)
        broker = valkey.url
        database = os.environ.get("DATABASE_URL", "")
        if not database:
            postgres = Postgres()
            servers.append(postgres)
            database = postgres.url
    environment = plain_environment(
        DJANGO_SETTINGS_MODULE="settings",
        DEBUG="0",
        HTTPS="0",
        LOGIN_REQUIRED="0",
        SECRET_KEY="only-for-tests" * 4,
        DATABASE_URL=database,
        REDIS_URL=broker,
        CI=os.environ.get("CI", ""),
        PYTHONPATH=str(ROOT / "tests" / "spawning") if config.option.use_spawn else "",
        **{name: value for name, value in os.environ.items() if name.startswith(("TORTURE_", "UPSUN_"))},
    )
    os.environ.clear()
    os.environ.update(environment)

    import django

    django.setup()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The torture tests take minutes; they run where they are asked for: pytest tests/torture."""
    asked = any("torture" in argument for argument in config.args)
    return True if collection_path.name == "torture" and not asked else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marks = [mark for mark, reason in reasons_to_leave_out().items() if reason]
    left_out = [item for item in items if any(map(item.get_closest_marker, marks))]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def reasons_to_leave_out() -> dict[str, str]:
    """Return for each mark why its tests cannot run here; an empty text where they can."""
    from tests.deploy.platform import may_mount

    on_sqlite = os.environ.get("DATABASE_URL", "").startswith("sqlite")
    return {
        "postgresql": "they need what SQLite does not have" if on_sqlite else "",
        "mounting": "" if may_mount() else "they need root, and the right to mount",
    }


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for mark, reason in reasons_to_leave_out().items():
        if reason:
            terminalreporter.write_line(f"Tests marked “{mark}” were left out: {reason}.")


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in servers:
        server.remove() if isinstance(server, Valkey) else server.stop()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: nothing may go unchecked in silence."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(scope="session")
def django_db_modify_db_settings(worker_id: str) -> None:
    """On SQLite use a file, each process of pytest-xdist its own: threads and the product's processes share it."""
    from django.conf import settings

    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        folder = Path(os.environ["DATABASE_URL"].removeprefix("sqlite:///")).parent
        settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(folder / f"tests-{worker_id}.sqlite3")


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    """An empty media mount."""
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"


@pytest.fixture(autouse=True)
def empty_broker() -> None:
    from dramatiq import get_broker

    broker: Any = get_broker()
    broker.blocking_client.flushall()  # A busy machine may take longer than `client` waits.
    broker.down_until = 0.0
    broker.is_stopping = False


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The product's own files, alone in a folder."""
    return copy_product(tmp_path / "checkout")


@pytest.fixture
def read_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the settings' file under nothing but these variables and return what it defines."""

    def read(**variables: str) -> dict[str, Any]:
        environment = plain_environment(**{"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3", **variables})
        for name in os.environ.keys() - environment.keys():
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "site").mkdir(exist_ok=True)
        copy = shutil.copy(ROOT / "site" / "settings.py", tmp_path / "site")  # Away from the checkout's var/.
        return runpy.run_path(copy)

    return read


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as box:
        yield box


@pytest.fixture
def smtp(mailbox: Mailbox, settings: Any) -> Mailbox:
    """The mailbox, with Django's mail going to it over real SMTP."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = mailbox.controller.port
    return mailbox
