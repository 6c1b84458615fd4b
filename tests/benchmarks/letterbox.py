"""A real SMTP server that only weighs what it takes, of any size."""

from typing import Any

from aiosmtpd.controller import Controller

from tests.servers.product import free_port


class Letterbox:
    def __init__(self) -> None:
        self.sizes: list[int] = []  # bytes
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port(), data_size_limit=0)
        self.url = f"smtp://127.0.0.1:{self.controller.port}"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.sizes.append(len(envelope.content))
        return "250 OK"

    def __enter__(self) -> "Letterbox":
        self.controller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.controller.stop()
