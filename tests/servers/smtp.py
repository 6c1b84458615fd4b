"""A real SMTP server that keeps what it takes, or refuses."""

import asyncio
import logging
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.servers.product import free_port


class Mailbox:
    """A real SMTP server on a free port that keeps what it takes. `answers` refuse: SMTP verb → reply,
    or for DATA `hang` or `drop`."""

    def __init__(self, hostname: str = "127.0.0.1", port: int = 0) -> None:
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: dict[str, str] = {}
        self.controller = Controller(self, hostname=hostname, port=port or free_port())
        self.url = f"smtp://{hostname}:{self.controller.port}"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        answer = self.answers.get(f"RCPT {address}") or self.answers.get("RCPT") or "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        refusal = self.answers.get("DATA")
        if refusal == "hang":
            await asyncio.sleep(60)
        elif refusal == "drop":
            server.transport.close()
        if refusal:
            return refusal
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"

    def __enter__(self) -> "Mailbox":
        self.controller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.controller.stop()
