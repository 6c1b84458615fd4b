"""EMAIL_URL against real mail servers that speak TLS and ask for a login."""

import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from smtplib import SMTPException
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from django.conf import LazySettings
from django.core.mail import get_connection, send_mail

from tests.servers.product import free_port

Read = Callable[..., dict[str, Any]]
CERTIFICATE = Path(__file__).parent / "localhost.pem"
USER, PASSWORD = "me@example.com", "p@s#s?w/o:r%d"
LOGIN = f"{USER}:{PASSWORD.replace('%', '%25')}"
ENCODED_LOGIN = "me%40example.com:p%40s%23s%3Fw%2Fo%3Ar%25d"


class GuardedMailbox:
    """An SMTP server that takes mail after a login only, and over TLS if told to. It keeps mails and logins."""

    def __init__(self, **encryption: Any) -> None:
        self.mails: list[bytes] = []
        self.logins: list[tuple[str, str]] = []
        options = {"authenticator": self.log_in, "auth_required": True, "auth_require_tls": False, **encryption}
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port(), **options)

    def log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
        self.logins.append((login.login.decode(), login.password.decode()))
        return AuthResult(success=True)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope.content)
        return "250 OK"

    def __enter__(self) -> "GuardedMailbox":
        self.controller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.controller.stop()


@pytest.fixture
def context() -> ssl.SSLContext:
    """What a server needs to speak TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


@pytest.fixture
def send(read_settings: Read, settings: LazySettings) -> Callable[[str], None]:
    """Send a mail as EMAIL_URL says. The servers' certificate is trusted."""

    def send(url: str) -> None:
        for name, value in read_settings(EMAIL_URL=url, SSL_CERT_FILE=str(CERTIFICATE)).items():
            if name.startswith("EMAIL_"):
                setattr(settings, name, value)
        with closing(get_connection()) as connection:
            send_mail("Tally", "3 files", "tallybox@localhost", ["reports@localhost"], connection=connection)

    return send


pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
Send = Callable[[str], None]


@pytest.mark.parametrize("login", [LOGIN, ENCODED_LOGIN])
def test_a_server_without_tls_gets_the_login(send: Send, login: str) -> None:
    with GuardedMailbox() as box:
        send(f"smtp://{login}@127.0.0.1:{box.controller.port}")

    assert (len(box.mails), box.logins) == (1, [(USER, PASSWORD)])


@pytest.mark.parametrize("scheme", ["smtps", "smtp+ssl"])
def test_smtps_is_tls_from_the_first_byte(send: Send, context: ssl.SSLContext, scheme: str) -> None:
    with GuardedMailbox(ssl_context=context) as box:
        send(f"{scheme}://{LOGIN}@127.0.0.1:{box.controller.port}")

    assert (len(box.mails), box.logins) == (1, [(USER, PASSWORD)])


def test_smtp_with_tls_begins_plain_and_logs_in_over_tls(send: Send, context: ssl.SSLContext) -> None:
    with GuardedMailbox(tls_context=context, require_starttls=True, auth_require_tls=True) as box:
        send(f"smtp+tls://{LOGIN}@127.0.0.1:{box.controller.port}")

    assert (len(box.mails), box.logins) == (1, [(USER, PASSWORD)])


def test_where_tls_was_asked_for_nothing_is_sent_without(send: Send) -> None:
    with GuardedMailbox() as box:
        with pytest.raises(SMTPException):
            send(f"smtp+tls://{LOGIN}@127.0.0.1:{box.controller.port}")
        with pytest.raises(ssl.SSLError):
            send(f"smtps://{LOGIN}@127.0.0.1:{box.controller.port}")

    assert (box.mails, box.logins) == ([], [])
