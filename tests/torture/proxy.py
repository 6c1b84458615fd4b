"""A TCP proxy in front of a server on a Unix socket, which delays what passes and cuts connections."""

import asyncio
import contextlib
import threading
from pathlib import Path

from tests.servers.product import free_port


class Proxy:
    """Listens on `port` of the loopback; `delay` in seconds holds up each block that passes, either way."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.port = free_port()
        self.delay = 0.0
        self.cuts = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.call(asyncio.start_server(self.connect, "127.0.0.1", self.port))

    def call(self, coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=10)  # type: ignore[arg-type]

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(str(self.target))
        except OSError:
            writer.close()
            return
        self.open |= {writer, server_writer}
        await asyncio.gather(self.pass_on(reader, server_writer), self.pass_on(server_reader, writer))
        self.open -= {writer, server_writer}

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while block := await reader.read(2**16):
                await asyncio.sleep(self.delay)
                writer.write(block)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Break all connections; new ones are taken."""

        async def abort() -> None:
            for writer in list(self.open):
                writer.transport.abort()

        self.call(abort())
        self.cuts += 1

    def close(self) -> None:
        self.cut()
        self.call(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout=10)
        self.loop.close()

    async def end(self) -> None:
        self.server.close()  # type: ignore[attr-defined]
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(tasks, timeout=5) if tasks else None
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)  # Sockets are closed by what the loop does next.
