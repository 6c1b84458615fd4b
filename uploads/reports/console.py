"""Mail for those who have no mail server yet: what a person would read, on the standard output."""

from email.message import Message
from typing import Any

from django.core.mail.backends.console import EmailBackend as DjangoBackend

LONGEST = 60  # lines


class EmailBackend(DjangoBackend):
    """Django's console backend, printing the headers and the text part, and the rest by name only."""

    def write_message(self, message: Any) -> None:
        mail: Message = message.message()
        self.stream.write("\n".join(readable(mail)) + "\n")


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
