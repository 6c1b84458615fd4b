from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import send_mail
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

MAIL = """You are the first administrator of {site}. Your user name is {name}.

Set your password here; the link works once, and for three days:

{link}
"""


class Command(BaseCommand):
    help = "Creates a superuser for ADMIN_EMAIL and mails the address a link to set the password."

    def handle(self, *args: Any, **options: Any) -> None:
        """Send a link with each deploy until there is an administrator with a password; from then on do nothing."""
        if not settings.ADMIN_EMAIL:
            self.stdout.write("ADMIN_EMAIL is not set: nobody is invited.")
            return
        if administrator := administrator_with_password():
            self.stdout.write(f"{administrator} is an administrator: nobody is invited.")
            return
        refuse_without_key()
        user = account_of(settings.ADMIN_EMAIL)
        if not (user.is_active and user.is_staff and user.is_superuser):
            self.stdout.write(f"{user} has an account, which keeps its rights: nobody is invited.")
            return
        self.send(user, link_for(user))

    def send(self, user: User, link: str) -> None:
        """Mail the link, or print it where mail does not work."""
        words = MAIL.format(site=settings.SITE_URL, name=user.get_username(), link=link)
        if settings.MAIL_OFF:
            self.stdout.write(f"Mail is off: {settings.MAIL_OFF}. {user} sets the password here: {link}")
            return
        try:
            sent = send_mail("Tallybox: set your password", words, None, [settings.ADMIN_EMAIL])
        except (OSError, SMTPException) as error:
            self.stdout.write(f"The mail could not be sent ({error}). {user} sets the password here: {link}")
            return
        if not sent:
            self.stdout.write(f"The mail was not sent. {user} sets the password here: {link}")
            return
        self.stdout.write(f"{user} was sent a link to set the password.")


def refuse_without_key() -> None:
    try:
        str(settings.SECRET_KEY)  # Django refuses to hand out an empty one.
    except ImproperlyConfigured as error:
        raise CommandError("SECRET_KEY is not set, which signs the link. Give it to every process.") from error


def administrator_with_password() -> User | None:
    """Return an active superuser with a password. The account of ADMIN_EMAIL may have been removed on purpose."""
    active = User.objects.filter(is_superuser=True, is_active=True).order_by("pk")
    return next((user for user in active if user.has_usable_password()), None)


def account_of(email: str) -> User:
    """Return the account with this address, made now where there is none. An existing account keeps its rights."""
    user = User.objects.filter(Q(email__iexact=email) | Q(username__iexact=email)).first()
    return user or User.objects.create_superuser(username=email, email=email)


def link_for(user: User) -> str:
    key, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    return settings.SITE_URL + reverse("password_reset_confirm", args=[key, token])
