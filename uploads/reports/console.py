"""A mail backend for sites without a mail server: prints mails for a person to read on the standard output."""

from email.message import Message
from typing import Any

from django.conf import settings
from django.core.mail.backends.console import EmailBackend as DjangoBackend

LONGEST = 60  # lines


class EmailBackend(DjangoBackend):
    """Django's console backend, but it prints only the headers, the text part and the names of attachments.

    A mail that can be read elsewhere, as its header Archived-At says (RFC 5064), is one line, unless CONSOLE_MAIL is
    `whole`: reports come every minute.
    """

    def write_message(self, message: Any) -> None:
        address = message.extra_headers.get("Archived-At", "").strip("<>")
        if address and settings.CONSOLE_MAIL == "line":
            recipients = ", ".join(message.recipients())
            self.stream.write(f"Mail to {recipients}: {message.subject}. Read it at {address}\n")
        else:
            self.stream.write("\n".join(readable(message.message())) + "\n")


def shortened(lines: list[str]) -> list[str]:
    more = len(lines) - LONGEST
    return lines if more <= 0 else [*lines[:LONGEST], f"[{more} more lines; the whole mail is under /reports/]"]


def readable(mail: Message) -> list[str]:
    lines = ["-" * 79]
    lines += [f"{header}: {mail[header]}" for header in ("Subject", "From", "To", "Date", "Message-ID")]
    for part in mail.walk():
        payload: Any = part.get_payload(decode=True)
        if part.get_filename():
            lines.append(f"[attached: {part.get_filename()}, {len(payload)} bytes]")
        elif part.get_content_type() == "text/plain":
            lines += ["", *shortened(payload.decode().splitlines()), ""]
    return [*lines, "-" * 79]
