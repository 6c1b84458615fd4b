"""The first administrator: made from ADMIN_EMAIL, with a link to set a password."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from tests.servers.product import free_port
from tests.servers.smtp import Mailbox
from uploads.management.commands import invite_admin

pytestmark = pytest.mark.django_db
PASSWORD = {"new_password1": "correct horse battery", "new_password2": "correct horse battery"}


@pytest.fixture
def invite(settings: Any, capsys: Any) -> Callable[[], str]:
    """Run the command for ada@example.org and return what it said."""
    settings.ADMIN_EMAIL, settings.SITE_URL, settings.LOGIN_REQUIRED = "ada@example.org", "http://testserver", True

    def run() -> str:
        call_command("invite_admin")
        return str(capsys.readouterr().out)

    return run


def link_in(text: str) -> str:
    return re.findall(r"http://testserver(/password/\S+)", text)[0]


def test_the_link_that_is_mailed_sets_the_password_and_logs_in(invite: Callable[[], str], smtp: Mailbox) -> None:
    said, client = invite(), Client()
    [mail] = smtp.mails

    form = client.get(link_in(mail.get_content()), follow=True)
    client.post(form.request["PATH_INFO"], PASSWORD)

    assert (mail["To"], "http" in said) == ("ada@example.org", False)
    assert b"The same again" in form.content
    assert client.get("/admin/").status_code == 200
    assert Client().login(username="ada@example.org", password=PASSWORD["new_password1"])


def test_a_link_works_once(invite: Callable[[], str], smtp: Mailbox) -> None:
    invite()
    link, client = link_in(smtp.mails[0].get_content()), Client()
    client.post(client.get(link, follow=True).request["PATH_INFO"], PASSWORD)

    again = Client().get(link, follow=True)

    assert b"This link is used up" in again.content


def test_a_weak_password_is_refused_with_the_reason(invite: Callable[[], str], smtp: Mailbox) -> None:
    invite()
    client = Client()
    form = client.get(link_in(smtp.mails[0].get_content()), follow=True)

    answer = client.post(form.request["PATH_INFO"], {"new_password1": "short", "new_password2": "short"})

    assert b"This password is too short" in answer.content


def test_until_the_password_is_set_each_run_sends_a_link(invite: Callable[[], str], smtp: Mailbox) -> None:
    invite()
    invite()
    user = User.objects.get()
    user.set_password("correct horse")
    user.save()

    assert invite() == "ada@example.org is an administrator: nobody is invited.\n"
    assert len(smtp.mails) == 2


def test_an_account_with_the_address_keeps_its_rights(invite: Callable[[], str], smtp: Mailbox) -> None:
    User.objects.create_user("ada", email="Ada@example.org", password="correct horse")

    invite()

    assert (User.objects.get().is_superuser, smtp.mails) == (False, [])


def test_an_account_that_was_deleted_is_not_made_again(invite: Callable[[], str], smtp: Mailbox) -> None:
    invite()
    User.objects.create_superuser("eve", password="correct horse")
    User.objects.get(username="ada@example.org").delete()

    assert invite() == "eve is an administrator: nobody is invited.\n"
    assert (User.objects.get().username, len(smtp.mails)) == ("eve", 1)


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}, {"is_superuser": False}])
def test_who_lost_the_rights_is_not_invited(invite: Callable[[], str], smtp: Mailbox, change: dict[str, bool]) -> None:
    User.objects.create_superuser("ada@example.org", email="ada@example.org")
    User.objects.update(**change)

    assert "keeps its rights: nobody is invited." in invite()
    assert smtp.mails == []


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!none"}])
def test_who_cannot_log_in_counts_for_nobody(invite: Callable[[], str], smtp: Mailbox, change: dict[str, Any]) -> None:
    User.objects.create_superuser("eve", password="correct horse")
    User.objects.update(**change)

    invite()

    assert [mail["To"] for mail in smtp.mails] == ["ada@example.org"]


def test_the_mail_goes_to_the_address_of_the_variable(invite: Callable[[], str], smtp: Mailbox) -> None:
    User.objects.create_superuser("ada@example.org", email="")

    invite()

    assert [mail["To"] for mail in smtp.mails] == ["ada@example.org"]


def test_a_mail_that_nobody_took_is_not_called_sent(invite: Callable[[], str], monkeypatch: Any) -> None:
    monkeypatch.setattr(invite_admin, "send_mail", lambda *_: 0)

    assert "was not sent" in (said := invite())
    assert link_in(said)


def test_without_mail_the_link_is_in_the_log(invite: Callable[[], str], settings: Any) -> None:
    settings.MAIL_OFF = "this is a preview"

    said = invite()

    assert "Mail is off: this is a preview." in said
    assert Client().get(link_in(said), follow=True).status_code == 200


def test_a_mail_server_that_is_away_fails_no_deploy(invite: Callable[[], str], settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()

    assert link_in(invite())


def test_without_an_address_nobody_is_made(invite: Callable[[], str], settings: Any) -> None:
    settings.ADMIN_EMAIL = ""

    assert invite() == "ADMIN_EMAIL is not set: nobody is invited.\n"
    assert not User.objects.exists()


def test_without_a_key_that_signs_the_link_it_says_so(invite: Callable[[], str], settings: Any) -> None:
    settings.SECRET_KEY = ""

    with pytest.raises(CommandError, match="SECRET_KEY is not set"):
        invite()

    assert not User.objects.exists()
