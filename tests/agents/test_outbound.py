"""Which way a request to an endpoint takes: never through a proxy to this machine, and said where there is no way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.agents.dialects import WORDS, endpoint, whole
from tests.agents.modelled import needs_models
from tests.agents.recorder import Recorder

pytestmark = needs_models

from myagent.agents import Turn  # noqa: E402
from myagent.agents.builtin.model import Choice, ModelAgent  # noqa: E402
from myagent.exceptions import AgentUnavailable  # noqa: E402

outbound = pytest.importorskip("myagent.agents.builtin.outbound")

PROXY = "http://proxy.example:3128"
EVERY = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY}


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "models.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "0.0.0.0", "[::]",
     "[::ffff:127.0.0.1]"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_to_this_machine_nothing_goes_through_a_proxy(scheme: str, host: str) -> None:
    assert outbound.proxy_of(f"{scheme}://{host}:8080/v1", EVERY) is None


@pytest.mark.parametrize(
    "host", ["models.example", "localhost.example", "127.0.0.1.example", "10.0.0.1", "[2001:db8::1]", "128.0.0.1"]
)
def test_elsewhere_it_does(host: str) -> None:
    assert outbound.proxy_of(f"https://{host}/v1", EVERY) == PROXY


@pytest.mark.parametrize(
    ("env", "url", "proxy"),
    [
        ({}, "http://m.example", None),
        ({"http_proxy": PROXY}, "http://m.example", PROXY),
        ({"http_proxy": PROXY}, "https://m.example", None),
        ({"https_proxy": PROXY}, "https://m.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "https_proxy": ""}, "https://m.example", None),
        ({"all_proxy": PROXY}, "https://m.example", PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "https://m.example", PROXY),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://m.example", None),
    ],
)
def test_which_variable_counts(env: dict[str, str], url: str, proxy: str | None) -> None:
    assert outbound.proxy_of(url, env) == proxy


@pytest.mark.parametrize(
    ("excepted", "host", "is_excepted"),
    [
        ("m.example", "m.example", True),
        ("example", "m.example", True),
        (".example", "m.example", True),
        (" other , M.Example ", "m.example", True),
        ("m.example:443", "m.example:443", True),
        ("m.example:443", "m.example:8443", False),
        ("ample", "m.example", False),
        ("m.example", "m.example.org", False),
        ("*", "m.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("[2001:db8::]/32", "[2001:db8::1]", False),
        ("2001:db8::/32", "[2001:db8::1]", True),
        ("", "m.example", False),
        (",", "m.example", False),
    ],
)
def test_no_proxy(excepted: str, host: str, is_excepted: bool) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        assert (outbound.proxy_of(f"https://{host}/v1", {**EVERY, name: excepted}) is None) is is_excepted


async def test_a_loopback_endpoint_gets_the_prompt_and_a_proxy_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with endpoint([WORDS]) as there, endpoint([whole({"error": "no"}, status=503)]) as proxy:
        address = proxy.url.removesuffix("/v1")
        env = {"HTTP_PROXY": address, "ALL_PROXY": address, "OPENAI_API_KEY": "key-of-nobody"}
        for name, value in env.items():  # what the HTTP library would look at by itself
            monkeypatch.setenv(name, value)
        agent = ModelAgent(Choice(model="m", base_url=there.url), cwd=tmp_path, env=env)
        await agent.start()
        try:
            assert "proxy" not in agent.info.note
            io = Recorder()
            end = await agent.run(Turn("session", "turn", "hello", "default", tmp_path), io)
            assert (end.stop_reason, io.out, len(there.asked), proxy.asked) == ("end_turn", "done", 1, [])
        finally:
            await agent.close()


async def test_the_control_another_host_is_reached_through_the_proxy_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with endpoint([WORDS]) as proxy:
        address = proxy.url.removesuffix("/v1").replace("//", "//me:password@")
        env = {"HTTP_PROXY": address, "OPENAI_API_KEY": "key-of-nobody"}
        agent = ModelAgent(Choice(model="m", base_url="http://models.example/v1"), cwd=tmp_path, env=env)
        await agent.start()
        try:
            assert "through the proxy 127.0.0.1:" in agent.info.note and "password" not in agent.info.note
            io = Recorder()
            await agent.run(Turn("session", "turn", "hello", "default", tmp_path), io)
            assert io.out == "done" and proxy.heads[0].startswith("POST http://models.example/v1/chat/completions")
        finally:
            await agent.close()


@pytest.mark.parametrize(
    ("proxy", "why"),
    [
        ("socks5://me:password@127.0.0.1:9", "for the proxy socks5://127.0.0.1:9 socksio is not installed; install it"),
        ("socks5h://proxy.example:1080", "socksio is not installed; install it with: pip install socksio"),
        ("ftp://proxy.example", "the proxy ftp://proxy.example is none that can be used; known are http"),
        ("http://", "is none that can be used"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_one_line_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, why: str
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    env = {"ALL_PROXY": proxy, "OPENAI_API_KEY": "key-of-nobody"}
    with pytest.raises(AgentUnavailable, match="model cannot run") as raised:
        await ModelAgent(Choice(model="m"), cwd=tmp_path, env=env).start()
    assert why in str(raised.value) and "password" not in str(raised.value) and "\n" not in str(raised.value)
    here = ModelAgent(Choice(model="m", base_url="http://localhost:9/v1"), cwd=tmp_path, env=env)
    await here.start()  # to this machine it is not needed
    await here.close()
