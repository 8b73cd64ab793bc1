"""`wss://`: whom a client trusts, what it says of a certificate that it does not, and that nothing is lost over TLS."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.cli.conftest import PATIENCE
from websockets.sync.client import connect

COMMANDS = [
    ["client", "--prompt", "help"],
    ["attach", "--plain"],
    ["sessions"],
    ["export", "remote_none", "--format", "md"],
    ["replay", "remote_none"],
    ["doctor"],
]


class Authority:
    """A certificate authority of one's own, and a server's certificate by it, as files."""

    def __init__(self, directory: Path) -> None:
        self.ca, self.cert, self.key = (directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(self.ca)
        issued.private_key_pem.write_to_path(self.key)
        issued.cert_chain_pems[0].write_to_path(self.cert)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.cert.read_text())).hexdigest()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serving(serve: Any, authority: Authority) -> Any:
    return serve("--tls-cert", str(authority.cert), "--tls-key", str(authority.key))


def test_a_certificate_that_is_not_trusted_is_named_by_every_command(
    serving: Any, inside: Any, authority: Authority
) -> None:
    assert serving.url.startswith("wss://")
    for command in COMMANDS:
        done = inside("remote", *command, "--url", serving.url)
        assert done.returncode == 3, command
        assert done.stderr.count("\n") == 1, command
        assert "its TLS certificate is not trusted: unable to get local issuer certificate" in done.stderr
        assert "(for localhost, 127.0.0.1, issued by trustme" in done.stderr
        assert f"SHA-256 {authority.fingerprint})" in done.stderr
        assert "--ca" in done.stderr


@pytest.mark.parametrize("trusted", ["ca", "cert"])
def test_what_is_given_is_trusted(serving: Any, inside: Any, authority: Authority, trusted: str) -> None:
    """The authority, or the very certificate."""
    file = str(getattr(authority, trusted))
    asked = inside("remote", "client", "--url", serving.url, "--ca", file, "--prompt", "help")
    assert (asked.returncode, asked.stdout[:8]) == (0, "No model"), asked.stderr
    session = asked.stderr.partition("session: ")[2].split()[0]
    for command in (
        ["sessions"],
        ["export", session, "--format", "jsonl"],
        ["replay", session, "--speed", "0"],
    ):
        done = inside("remote", *command, "--url", serving.url, MYAGENT_REMOTE_CA=file)
        assert (done.returncode, done.stderr) == (0, ""), command


def test_another_authority_is_not_trusted(
    serving: Any, inside: Any, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(tmp_path_factory.mktemp("other"))
    for file in (other.ca, other.cert):
        done = inside(
            "remote", "sessions", "--url", serving.url, "--ca", str(file), MYAGENT_REMOTE_CA=str(authority.ca)
        )
        assert done.returncode == 3
        assert "is not trusted" in done.stderr


def test_another_name_is_not_mended_by_trust(serving: Any, inside: Any, authority: Authority) -> None:
    token = json.loads((serving.directory / ".myagent/remote/auth.json").read_text())["token"]
    url = serving.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
    done = inside("remote", "sessions", "--url", url, "--ca", str(authority.ca), "--token", token)
    assert done.returncode == 3
    assert "IP address mismatch" in done.stderr
    assert "with --ca" not in done.stderr


def test_what_cannot_be_trusted_is_wrong_usage(inside: Any, authority: Authority, tmp_path: Path) -> None:
    for file, why in ((tmp_path / "none.pem", "no such file"), (authority.key, "no certificate in PEM form")):
        done = inside("remote", "sessions", "--url", "wss://127.0.0.1:1", "--ca", str(file))
        assert done.returncode == 2
        assert f"cannot trust the certificates in {file}: " in done.stderr
        assert why in done.stderr
    for command in (["sessions"], ["login", "work"]):
        done = inside("remote", *command, "--url", "ws://127.0.0.1:1", "--ca", str(authority.ca))
        assert done.returncode == 2
        assert "--ca is for wss://" in done.stderr


def test_it_is_kept_with_a_name(serving: Any, inside: Any, authority: Authority, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path / "home"), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    token = json.loads((serving.directory / ".myagent/remote/auth.json").read_text())["token"]
    login = ("remote", "login", "work", "--url", serving.url, "--token-stdin")
    refused = inside(*login, stdin=token, **home)
    assert refused.returncode == 3
    assert "is not trusted" in refused.stderr
    kept = inside(*login, "--ca", authority.ca.name, cwd=authority.ca.parent, stdin=token, **home)
    assert kept.returncode == 0, kept.stderr
    assert str(authority.ca) in kept.stderr
    listed = json.loads(inside("remote", "remotes", "--json", **home).stdout)
    assert listed == [{"name": "work", "url": serving.url, "token": "file", "ca": str(authority.ca)}]
    # A name has its own trust: what the environment says is for addresses without one.
    done = inside("remote", "sessions", "--remote", "work", cwd=Path("/"), MYAGENT_REMOTE_CA="/none.pem", **home)
    assert (done.returncode, done.stdout) == (0, "no sessions yet\n"), done.stderr


def test_messages_in_records_of_their_own_all_arrive(serving: Any, authority: Authority) -> None:
    """Several TLS records that are there at once: asyncio hands the second one to a slice of the receiver's buffer."""
    token = json.loads((serving.directory / ".myagent/remote/auth.json").read_text())["token"]
    trust = ssl.create_default_context(cafile=str(authority.ca))
    headers = {"Authorization": f"Bearer {token}"}
    with connect(serving.url, ssl=trust, additional_headers=headers, compression=None, proxy=None) as client:
        for _ in range(3):
            client.recv()  # ready, role, welcome
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for number in range(8):
            client.send(json.dumps({"type": "ping", "id": f"p{number}"}))
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        pongs: list[str] = []
        while len(pongs) < 8:
            answer = json.loads(client.recv(timeout=PATIENCE))
            pongs += [answer["id"]] if answer["type"] == "pong" else []
    assert pongs == [f"p{number}" for number in range(8)]
