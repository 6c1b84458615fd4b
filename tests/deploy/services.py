"""The platform's services, played on ports of the loopback."""

import subprocess
from pathlib import Path

import psycopg2

from tests.deploy import variables as made_up
from tests.servers.postgres import pgserver
from tests.servers.product import free_port, wait_for
from uploads.operations.valkey import find_server

PASSWORD = "p@ss/w?rd#1"


class PostgresService:
    """PostgreSQL on a port of the loopback, with the user and database `main` and a password that is asked for."""

    def __init__(self, folder: Path) -> None:
        self.package, self.port, self.data = pgserver(), free_port(), folder / "data"
        self.data.mkdir(parents=True)
        self.server = self.package.postgres_server.PostgresServer(self.data)
        self.server.ensure_pgdata_inited()
        (self.data / "pg_hba.conf").write_text("local all all trust\nhost all main 127.0.0.1/32 scram-sha-256\n")
        self.control("-o", f"-h 127.0.0.1 -p {self.port} -k {self.data}", "-l", str(self.data / "log"), "start")
        connection = psycopg2.connect(host=str(self.data), port=self.port, user="postgres", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE main LOGIN PASSWORD %s", [PASSWORD])
            cursor.execute("CREATE DATABASE main OWNER main")
        connection.close()

    def control(self, *words: str) -> None:
        where = {"bin_path": self.server.bin_path, "user": self.server.system_user}
        self.package.pgexec.pgexec("pg_ctl", ("-w", "-D", str(self.data), *words), **where)

    def stop(self) -> None:
        self.control("-m", "fast", "stop")

    def variables(self, relationship: str) -> dict[str, str]:
        place = {"host": "127.0.0.1", "port": self.port, "password": PASSWORD}
        return made_up.endpoint(relationship, **{**made_up.POSTGRESQL, **place})


class RedisService:
    """Valkey on a port of the loopback, with the policy of the configuration."""

    def __init__(self, folder: Path, policy: str) -> None:
        folder.mkdir()
        self.port = free_port()
        options = {"port": self.port, "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "save": ""}
        options["maxmemory-policy"] = policy
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([find_server(), *words], stdout=log)
        wait_for(lambda: b"Ready to accept" in (folder / "log").read_bytes(), what="Valkey")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def variables(self, relationship: str) -> dict[str, str]:
        return made_up.endpoint(relationship, **{**made_up.REDIS, "host": "127.0.0.1", "port": self.port})
