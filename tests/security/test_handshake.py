"""Hostile handshakes: who gets in, with which answer, in which order of checks; table H of the catalog."""

from __future__ import annotations

import asyncio
import base64
import random
import socket
import string
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from puppet import PATIENCE
from raw import KEY, Answer, Raw, frame, request
from wire import scene

from myagent.server import Server, places

pytestmark = pytest.mark.usefixtures("quiet_log")

CLOSED = 0  # without an answer
WRONG = "A" * 43

Ask = Callable[[Server], bytes]


def token(server: Server) -> str:
    return server.token


def with_(**headers: str) -> Ask:
    """A right request with these headers, in which TOKEN and PORT stand for the server's."""

    def ask(server: Server) -> bytes:
        return request(server, **{name: _fill(server, value) for name, value in headers.items()})

    return ask


def without(*names: str, **headers: str) -> Ask:
    def ask(server: Server) -> bytes:
        return request(server, drop=names, **{name: _fill(server, value) for name, value in headers.items()})

    return ask


def to(target: str, method: str = "GET", drop: tuple[str, ...] = ()) -> Ask:
    return lambda server: request(server, method=method, target=_fill(server, target), drop=drop)


def doubled(*lines: str, drop: str = "") -> Ask:
    """A right request with these lines in place of a header."""

    def ask(server: Server) -> bytes:
        head = request(server, drop=(drop,))[:-2]
        return head + "".join(f"{_fill(server, line)}\r\n" for line in lines).encode("latin-1") + b"\r\n"

    return ask


def bytes_(data: bytes) -> Ask:
    return lambda _: data


def _fill(server: Server, text: str) -> str:
    encoded = base64.b64encode(server.token.encode()).decode()
    return text.replace("TOKEN", server.token).replace("BASE64", encoded).replace("PORT", str(server.port))


CREDENTIALS: dict[str, tuple[Ask, int]] = {
    "H1-none": (without("Authorization"), 401),
    "H2-wrong": (with_(Authorization=f"Bearer {WRONG}"), 401),
    "H3-length-0": (with_(Authorization="Bearer "), 401),
    "H3-length-1": (with_(Authorization="Bearer A"), 401),
    "H3-length-42": (with_(Authorization=f"Bearer {WRONG[1:]}"), 401),
    "H3-length-44": (with_(Authorization="Bearer TOKENA"), 401),
    "H3-length-4096": (with_(Authorization=f"Bearer {'A' * 4096}"), 401),
    "H5-bytes": (with_(Authorization="Bearer \xff\xfe"), 401),
    "H6-twice": (doubled("Authorization: Bearer TOKEN", "Authorization: Bearer TOKEN", drop="Authorization"), 401),
    "H7-wrong-right": (
        doubled(f"Authorization: Bearer {WRONG}", "Authorization: Bearer TOKEN", drop="Authorization"),
        401,
    ),
    "H7-right-wrong": (
        doubled("Authorization: Bearer TOKEN", f"Authorization: Bearer {WRONG}", drop="Authorization"),
        401,
    ),
    "H9-basic": (with_(Authorization="Basic BASE64"), 401),
    "H9-token": (with_(Authorization="Token TOKEN"), 401),
    "H9-colon": (with_(Authorization="Bearer: TOKEN"), 401),
    "H9-bare": (with_(Authorization="TOKEN"), 401),
    "H10-two-spaces": (with_(Authorization="Bearer  TOKEN"), 401),
    "H10-tab": (with_(Authorization="Bearer\tTOKEN"), 401),
    "H14-quoted": (with_(Authorization='Bearer "TOKEN"'), 401),
    "H14-padded": (with_(Authorization="Bearer TOKEN="), 401),
    "H14-base64": (with_(Authorization="Bearer BASE64"), 401),
    "H14-list": (with_(Authorization="Bearer TOKEN, Bearer TOKEN"), 401),
    "H15-query": (lambda server: request(server, target=f"/?token={server.token}", drop=("Authorization",)), 401),
    "H15-query-too": (to("/?token=TOKEN"), 401),
    "H15-query-spelling": (to("/?ToKeN=TOKEN"), 401),
    "H15-query-encoded": (to("/?%74oken=TOKEN"), 401),
    "H16-cookie": (without("Authorization", Cookie="token=TOKEN"), 401),
    "H17-subprotocol": (without("Authorization", Sec_WebSocket_Protocol="TOKEN"), 401),
    "H17-subprotocol-named": (without("Authorization", Sec_WebSocket_Protocol="myagent.v1, token.TOKEN"), 401),
}

HANDSHAKES: dict[str, tuple[Ask, int | tuple[int, ...]]] = {
    "right": (with_(), 101),
    "H4-long": (with_(Authorization=f"Bearer {'A' * 9000}"), 431),
    "H8-lower": (with_(Authorization="bearer TOKEN"), 101),
    "H8-upper": (with_(Authorization="BEARER TOKEN"), 101),
    "H11-trailing-space": (with_(Authorization="Bearer TOKEN "), 101),
    "H12-folded": (with_(Authorization="Bearer\r\n TOKEN"), (400, CLOSED)),
    "H13-nul": (with_(Authorization="Bearer TOKEN\0"), (400, CLOSED)),
    "H19-origin": (with_(Origin="https://evil.example"), 403),
    "H20-null": (with_(Origin="null"), 403),
    "H21-subdomain": (with_(Origin="http://localhost.evil.example"), 403),
    "H21-suffix": (with_(Origin="http://127.0.0.1:PORT.evil"), 403),
    "H21-user": (with_(Origin="http://user@127.0.0.1:PORT"), 403),
    "H21-port": (with_(Origin="http://127.0.0.1:1"), 403),
    "H21-scheme": (with_(Origin="https://127.0.0.1:PORT"), 403),
    "H21-slash": (with_(Origin="http://127.0.0.1:PORT/"), 403),
    "H21-other-own-name": (with_(Origin="http://localhost:PORT"), 403),
    "H21-empty": (with_(Origin=""), 403),
    "H21-file": (with_(Origin="file://"), 403),
    "own-origin": (with_(Origin="http://127.0.0.1:PORT"), 101),
    "H22-two": (doubled("Origin: http://127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT"), 403),
    "H23-foreign": (with_(Host="evil.example"), 403),
    "H23-foreign-port": (with_(Host="evil.example:PORT"), 403),
    "H23-subdomain": (with_(Host="localhost.evil.example:PORT"), 403),
    "H23-other-port": (with_(Host="10.0.0.1:1"), 403),
    "H23-tunnel-other-origin": (with_(Host="127.0.0.1:9000", Origin="http://127.0.0.1:PORT"), 403),
    "H23-tunnel-local-page": (with_(Host="127.0.0.1:PORT", Origin="http://127.0.0.1:9000"), 403),
    "H23-tunnel-rebound": (with_(Host="localhost.evil.example:9000", Origin="http://localhost.evil.example:9000"), 403),
    "H23-tunnel-foreign": (with_(Host="127.0.0.1:9000", Origin="http://evil.example"), 403),
    "host-tunnel": (with_(Host="127.0.0.1:9000"), 101),
    "host-tunnel-page": (with_(Host="localhost:9000", Origin="http://localhost:9000"), 101),
    "host-tunnel-v6-page": (with_(Host="[::1]:9000", Origin="http://[::1]:9000"), 101),
    "H23-address": (with_(Host="10.0.0.1:PORT"), 403),
    "H23-empty": (with_(Host=""), 400),
    "H23-missing": (without("Host"), 400),
    "H23-two": (doubled("Host: 127.0.0.1:PORT", "Host: 127.0.0.1:PORT", drop="Host"), 400),
    "H23-malformed": (with_(Host="127.0.0.1:PORT@evil.example"), 400),
    "host-localhost": (with_(Host="LOCALHOST:PORT"), 101),
    "host-v6": (with_(Host="[::1]:PORT"), 101),
    "H24-absolute": (to("http://evil/"), (400, 403)),
    "H24-absolute-ours": (to("http://127.0.0.1:PORT/"), (400, 403)),
    "H25-post": (to("/", "POST"), 405),
    "H25-put": (to("/", "PUT"), 405),
    "H25-options": (to("/", "OPTIONS"), 405),
    "H25-trace": (to("/", "TRACE"), 405),
    "H25-connect": (to("/", "CONNECT"), 405),
    "H25-head": (to("/", "HEAD"), 405),
    "H25-lower-case": (to("/", "get"), 405),
    "H26-http-1.0": (lambda server: request(server).replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
    "H26-http-2": (bytes_(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), CLOSED),
    "H26-tls": (bytes_(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\n"), CLOSED),
    "H26-ssh": (bytes_(b"SSH-2.0-OpenSSH_9.2\r\n"), CLOSED),
    "H26-random": (bytes_(random.Random(1).randbytes(4096) + b"\n"), (CLOSED, 414)),
    "H27-no-key": (without("Sec-WebSocket-Key"), 400),
    "H27-short-key": (with_(Sec_WebSocket_Key="AAAA"), 400),
    "H27-two-keys": (doubled(f"Sec-WebSocket-Key: {KEY}"), 400),
    "H28-version-8": (with_(Sec_WebSocket_Version="8"), 426),
    "H30-long-line": (to("/?label=" + "a" * 8193), 414),
    "H31-many-headers": (doubled(*(f"X-{number}: 1" for number in range(129))), 431),
    "H32-body": (with_(Content_Length="10"), (400, CLOSED)),
    "H32-chunked": (with_(Transfer_Encoding="chunked"), (400, CLOSED)),
    "H34-dots": (to("/../../etc/passwd"), 404),
    "H34-encoded-dots": (to("/%2e%2e/"), 404),
    "H34-inside": (to("/sessions/../healthz"), 404),
    "H34-two-slashes": (to("//evil"), 404),
    "H34-nul": (to("/%00"), 404),
    "H34-raw-nul": (to("/ws\0"), (404, CLOSED)),
    "H34-utf8": (lambda server: request(server, target="/😀".encode().decode("latin-1")), (404, CLOSED)),
    "H34-star": (to("*"), (400, 404)),
    "H34-tab": (to("/\t/["), 404),
    "H34-bracket": (to("/["), 404),
    "H34-fragment": (to("/healthz#x"), 404),
    "H34-many-parameters": (to("/?" + "a=1&" * 1000), 400),
    "H34-session-dots": (to("/sessions/..%2f..%2fetc%2fpasswd/events"), 404),
    "H38-forwarded": (
        without("Authorization", X_Forwarded_For="127.0.0.1", Forwarded="for=127.0.0.1", X_Real_IP="::1"),
        401,
    ),
    "H38-forwarded-host": (with_(Host="evil.example", X_Forwarded_Host="127.0.0.1:PORT"), 403),
}  # fmt: skip


async def send(server: Server, data: bytes) -> Answer:
    async with Raw(server) as raw:
        await raw.send(data)
        return await raw.answer()


@pytest.mark.parametrize("row", [*CREDENTIALS, *HANDSHAKES])
async def test_each_handshake_gets_its_answer_and_disturbs_nobody(tmp_path: Path, row: str) -> None:
    ask, expected = (CREDENTIALS | HANDSHAKES)[row]
    async with scene(tmp_path) as here:
        owner = await here.join()
        answer = await send(here.server, ask(here.server))
        assert answer.status in (expected if isinstance(expected, tuple) else (expected,))
        if answer.status == 405:
            assert answer.header("Allow") == "GET"
        if answer.status == 426:
            assert answer.header("Sec-WebSocket-Version") == "13"
        assert here.server.token not in str(answer)
        assert (await here.turn(owner, "help"))["exitCode"] == 0
        assert {message["type"] for message in owner.messages} >= {"ack", "terminal_state"}


async def test_all_401s_are_the_same(tmp_path: Path) -> None:
    seen = set()
    for name, (ask, _) in CREDENTIALS.items():
        workspace = tmp_path / name  # one server each: too many wrong credentials are answered with 429
        workspace.mkdir()
        async with scene(workspace) as here:
            answer = await send(here.server, ask(here.server))
            assert answer.header("WWW-Authenticate") == 'Bearer realm="myagent-remote"'
            headers = tuple(each for each in answer.headers if each[0] != "date")
            seen.add((answer.status, headers, answer.body))
    assert len(seen) == 1


async def test_the_checks_come_in_the_order_of_the_contract(tmp_path: Path) -> None:
    """Each request is wrong in all that follows, too: it is answered for what comes first."""
    wrong = {"Host": "evil.example", "Origin": "https://evil.example", "Authorization": f"Bearer {WRONG}"}
    order = [
        (404, {"target": "/nowhere", "method": "POST"}, wrong),
        (405, {"method": "POST"}, wrong),
        (403, {}, wrong),
        (403, {}, {name: value for name, value in wrong.items() if name != "Host"}),
        (401, {}, {"Authorization": wrong["Authorization"]}),
        (503, {}, {}),
    ]
    async with scene(tmp_path, max_connections=1) as here:
        await here.join()
        bodies = []
        for status, line, headers in order:
            answer = await send(here.server, request(here.server, **line, **headers))
            assert answer.status == status
            bodies.append(answer.body)
        assert b"host" in bodies[2] and b"origin" in bodies[3]


async def test_a_named_origin_and_a_named_host_may_connect(tmp_path: Path) -> None:
    async with scene(tmp_path, allowed_origins=("https://page.example",), allowed_hosts=("agent.example",)) as here:
        for headers, status in [
            ({"Origin": "https://page.example"}, 101),
            ({"Origin": "https://page.example:444"}, 403),
            ({"Host": "agent.example"}, 101),
            ({"Host": "AGENT.example:443"}, 101),
            ({"Host": "agent.example.evil"}, 403),
        ]:
            assert (await send(here.server, request(here.server, **headers))).status == status, headers


async def test_one_connection_over_the_limit_is_refused_until_another_leaves(tmp_path: Path) -> None:
    async with scene(tmp_path, max_connections=2) as here:
        owner, follower = await here.join(), await here.join()
        refused = await send(here.server, request(here.server))
        assert refused.status == 503 and refused.header("Retry-After")
        await follower.leave()
        await here.join()
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def test_of_sockets_that_say_nothing_the_oldest_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PENDING_SOCKETS", 8)
    async with scene(tmp_path, max_connections=4) as here, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(Raw(here.server)) for _ in range(20)]
        client = await here.join()  # comes as the ninth that waits, and stays
        assert [await raw.at_eof() for raw in silent[:13]] == [b""] * 13
        for raw in silent[13:]:
            await raw.send(request(here.server, target="/healthz"))
            assert (await raw.answer()).status == 200
        assert (await here.turn(client, "help"))["exitCode"] == 0


async def test_as_many_as_may_connect_may_all_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All sockets are open before the first of them says anything."""
    monkeypatch.setattr(places, "PENDING_SOCKETS", 8)
    async with scene(tmp_path, max_connections=100) as here, AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(Raw(here.server)) for _ in range(100)]
        await asyncio.gather(*(raw.upgrade() for raw in crowd))
        assert len(here.server.host.peers) == 100


async def test_wrong_tokens_never_lock_the_right_one_out(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for _ in range(200):
            answer = await send(here.server, request(here.server, Authorization=f"Bearer {WRONG}"))
            assert answer.status in (401, 429)
        assert (await here.join()).role == "owner"


async def test_nothing_is_compressed_for_who_does_not_ask(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        answer = await send(here.server, request(here.server))
        assert answer.status == 101 and answer.header("Sec-WebSocket-Extensions") is None


async def test_a_token_shown_as_a_subprotocol_is_never_echoed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        answer = await send(here.server, request(here.server, Sec_WebSocket_Protocol=here.server.token))
        assert here.server.token not in str(answer)


async def test_frames_before_the_answer_count_only_once_let_in(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for second in (b"\x81\x85\x00\x00\x00\x00hello", request(here.server)):
            async with Raw(here.server) as raw:
                await raw.send(request(here.server, Authorization=f"Bearer {WRONG}") + second)
                assert (await raw.answer()).status in (401, CLOSED)
                assert await raw.at_eof() == b""


@pytest.mark.parametrize("target", ["/", "/sessions", "/nowhere"])
async def test_whoever_breaks_off_after_the_request_is_let_go_quietly(tmp_path: Path, target: str) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        drop = () if target == "/" else ("Upgrade", "Connection")
        data = request(here.server, target=target, drop=drop)
        for more in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b""):
            for together in (True, False):
                async with Raw(here.server) as raw:
                    await raw.send(data + more if together else data)
                    if not together:
                        await raw.send(more)
                    raw.send_eof()
                    await raw.at_eof()
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def all_gone(server: Server, *, but: int) -> None:
    """Wait until connections have left."""
    async with asyncio.timeout(PATIENCE):
        while len(server.acceptor.connections) > but:
            await asyncio.sleep(0.01)


ROUTES = ["/", "/app.js", "/healthz", "/sessions", "/ticket", "/metrics", "/nowhere", "/sessions/SESSION/events"]
PLAIN = ("Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("end", ["FIN", "RST"])
async def test_whoever_is_gone_before_the_answer_is_let_go_quietly(tmp_path: Path, end: str, shown: bool) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        session_id = (await here.turn(owner, "help"))["sessionId"]
        drop = () if shown else ("Authorization",)
        asked = [request(here.server, target=each.replace("SESSION", session_id), drop=PLAIN + drop) for each in ROUTES]
        for data in (*asked, request(here.server, drop=drop), b"GET / HTTP/1.1\r\n", b"\0\r\n\r\n"):
            gone = socket.create_connection(("127.0.0.1", here.server.port))
            gone.sendall(data)
            if end == "RST":
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
        healthz = request(here.server, target="/healthz", drop=PLAIN)
        assert (await send(here.server, healthz)).status == 200  # it was accepted after all of them
        await all_gone(here.server, but=1)
        assert (await here.turn(owner, "help"))["exitCode"] == 0


@pytest.mark.parametrize("together", [True, False])
async def test_who_says_no_more_after_the_request_has_its_whole_answer(tmp_path: Path, together: bool) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        session_id = (await here.turn(owner, "help"))["sessionId"]
        for route in ROUTES:
            asked = request(here.server, target=route.replace("SESSION", session_id), drop=PLAIN)
            expected = await send(here.server, asked)
            half = socket.create_connection(("127.0.0.1", here.server.port))
            half.sendall(asked)
            if together:  # the end is there before the request is read
                half.shutdown(socket.SHUT_WR)
            reader, writer = await asyncio.open_connection(sock=half)
            if not together:
                writer.write_eof()
            head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            assert int(head.split()[1]) == expected.status, route
            assert len(body) == int(expected.header("Content-Length") or -1), route
        async with Raw(here.server) as raw:  # a WebSocket that says no more has left
            await raw.send(request(here.server, target="/?role=follower"))
            raw.send_eof()
            assert (await raw.answer()).status == 101
            await raw.at_eof()
        await all_gone(here.server, but=1)


@pytest.mark.parametrize("sent", ["nothing", "half", "a byte at a time"])
async def test_an_unfinished_request_is_closed_in_time_and_holds_nobody_up(tmp_path: Path, sent: str) -> None:
    async with scene(tmp_path, handshake_timeout=0.2) as here, Raw(here.server) as raw:
        data = request(here.server)
        if sent == "half":
            await raw.send(data[: len(data) // 2])
        owner = await here.join()
        if sent == "a byte at a time":
            for byte in data[:20]:
                await raw.send(bytes([byte]))
                await owner.settle()
        assert await raw.at_eof() == b""
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def test_no_path_is_served_without_a_credential(tmp_path: Path) -> None:
    chance = random.Random(20)
    letters = string.ascii_letters + string.digits + "/._-%~?=&:;@!$'()*+,"
    paths = ["/" + "".join(chance.choices(letters, k=chance.randint(1, 40))) for _ in range(200)]
    known = ["/sessions", "/sessions/", "/sessions/x/events", "/sessions/remote_20260101000000_00000000/events"]
    known += [path + "?after=0" for path in known] + ["/?role=follower", "/?session=x", "/?after=1"]
    async with scene(tmp_path) as here:
        for path in paths + known:
            for drop in (("Authorization",), ("Authorization", "Upgrade", "Connection")):
                answer = await send(here.server, request(here.server, target=path, drop=drop))
                page = path.startswith("/?") and "Upgrade" in drop
                assert answer.status in ((200,) if page else (400, 401, 404)), (path, answer)


@pytest.mark.parametrize("target", ["/?" + "a&" * 1000, "/healthz?" + "a&" * 1000, "/\t/[", "/\t/]:x", "/?%ff%00=%"])
async def test_an_odd_target_without_a_credential_is_answered_in_words(tmp_path: Path, target: str) -> None:
    async with scene(tmp_path) as here:
        answer = await send(
            here.server, request(here.server, target=target, drop=("Authorization", "Upgrade", "Connection"))
        )
        assert answer.status in (200, 400, 404)


async def test_what_needs_no_credential_holds_no_data(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        session = (await here.turn(owner, "!echo canary"))["sessionId"]
        for target, body in (("/", None), ("/healthz", b"ok\n")):
            answer = await send(
                here.server, request(here.server, target=target, drop=("Authorization", "Upgrade", "Connection"))
            )
            assert answer.status == 200
            assert body is None or answer.body == body
            for secret in (b"canary", session.encode(), here.server.token.encode(), str(tmp_path).encode()):
                assert secret not in answer.body
            assert answer.header("Cache-Control") == "no-store"
            assert answer.header("X-Content-Type-Options") == "nosniff"
            assert answer.header("Referrer-Policy") == "no-referrer"
            assert "frame-ancestors 'none'" in (answer.header("Content-Security-Policy") or "")
        evil = request(here.server, target="/healthz", drop=("Upgrade",), Host="evil.example")
        assert (await send(here.server, evil)).status == 403


@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10], ids=["continued", "text", "binary", "close", "ping", "pong"])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    "ask",
    [without("Authorization"), to("/nothing"), to("/sessions"), to("/healthz")],
    ids=["401", "404", "data", "open"],
)
async def test_what_follows_a_request_that_was_not_upgraded_is_no_frame(
    tmp_path: Path, ask: Ask, masked: bool, opcode: int
) -> None:
    async with scene(tmp_path) as here:
        expected = {}
        for behind in (b"", frame(opcode, b"", masked=masked), frame(opcode, b"\x03\xe8", masked=masked) * 200):
            async with Raw(here.server) as hostile:
                await hostile.send(ask(here.server) + behind)
                expected[behind] = (await hostile.answer()).status
        assert len(set(expected.values())) == 1 and expected[b""] in (200, 401, 404)
