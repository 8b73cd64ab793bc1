"""What the server answers for the page and for Prometheus: files, headers, prefixes, numbers."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from prometheus_client.parser import text_string_to_metric_families
from puppet import PATIENCE, Puppet
from wire import Scene, decide, scene

from myagent.server.static import page_files

NAMES = sorted(page_files())
PARTS = (
    "default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'",
    "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types worker",
)  # fmt: skip


async def get(
    served: Scene, path: str, headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, dict[str, str], bytes]:
    """A plain request: status, headers by lower-case name, body."""
    port = served.server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n\r\n")
    writer.close()
    status, *rest = head.decode().split("\r\n")
    return int(status.split()[1]), {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in rest}, body


async def test_every_file_is_served_without_a_credential_and_under_a_strict_policy(tmp_path: Path) -> None:
    assert {"/", "/app.js", "/app.css", "/icon.svg"} < set(NAMES)
    async with scene(tmp_path) as served:
        for path in NAMES:
            status, headers, body = await get(served, path)
            assert status == 200
            assert body == page_files()[path].body
            policy = headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "http" not in policy
            for part in PARTS if path == "/" else ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
                assert part in policy.split("; ")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "set-cookie" not in headers
            named_after_content = re.search(r"\.[0-9a-f]{16}\.", path)
            assert headers["cache-control"] == (
                "public, max-age=31536000, immutable" if named_after_content else "no-store"
            )


async def test_the_page_has_one_style_inline_and_its_policy_takes_no_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as served:
        _, headers, body = await get(served, "/")
    [style] = re.findall(r"<style>(.*?)</style>", body.decode(), re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{hashed}'" in headers["content-security-policy"].split("; ")
    assert re.findall(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=", body.decode()) == []


@pytest.mark.parametrize(
    ("accepts", "zipped"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("identity", False),
        ("", False),
    ],
)
async def test_the_page_is_compressed_for_whoever_takes_that(tmp_path: Path, accepts: str, zipped: bool) -> None:
    async with scene(tmp_path) as served:
        for path in NAMES:
            _, headers, body = await get(served, path, {"Accept-Encoding": accepts})
            assert headers.get("content-encoding") == ("gzip" if zipped else None)
            assert headers["vary"] == "Accept-Encoding"
            assert (gzip.decompress(body) if zipped else body) == page_files()[path].body


@pytest.mark.parametrize(
    "path", ["/app.js/", "/web/app.js", "/../server.py", "/%2e%2e/server.py", "/__init__.py", "/x.js", "//app.js"]
)
async def test_nothing_else_is_a_file_of_the_page(tmp_path: Path, path: str) -> None:
    async with scene(tmp_path) as served:
        assert (await get(served, path))[0] == 404


async def test_a_prefix_may_stand_before_every_path_or_be_taken_off(tmp_path: Path) -> None:
    async with scene(tmp_path, base_path="/team/agent") as served:
        for path in NAMES:
            assert (await get(served, f"/team/agent{path}"))[2] == (await get(served, path))[2]
        status, headers, _ = await get(served, "/team/agent")
        assert (status, headers["location"]) == (308, "/team/agent/")
        assert (await get(served, "/team/agent/healthz"))[0] == 200
        assert (await get(served, "/team/agent/sessions"))[0] == 401
        for path in ("/team/agentx/", "/team/", "/team/agent/team/agent/"):
            assert (await get(served, path))[0] == 404


async def test_events_come_with_their_updates_when_asked(tmp_path: Path) -> None:
    async with scene(tmp_path) as served:
        owner = await served.join()
        await served.turn(owner, "help")
        [session] = served.server.host.sessions
        plain = await served.events(session)
        detailed = await served.events(session, "?wants=updates")
        assert not any("update" in event for event in plain)
        assert any(event.get("update", {}).get("sessionUpdate") == "agent_message_chunk" for event in detailed)
        assert [{key: event[key] for key in event if key != "update"} for event in detailed] == plain


# --- metrics ----------------------------------------------------------------------------------------------------------


async def metrics(served: Scene, token: str | None) -> dict[str, float]:
    """Every number by its name, its labels behind it."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    status, found, body = await get(served, "/metrics", headers)
    assert (status, found["content-type"].split(";")[0]) == (200, "text/plain")
    families = text_string_to_metric_families(body.decode())
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


async def test_metrics_need_the_owner_unless_they_are_opened(tmp_path: Path) -> None:
    async with scene(tmp_path) as served:
        assert (await get(served, "/metrics"))[0] == 401
        assert await metrics(served, served.server.token)
    async with scene(tmp_path, open_metrics=True) as served:
        assert await metrics(served, None)


async def test_metrics_count_what_happened(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet) as served:
        owner = await served.join()
        await served.join("?role=follower")
        await owner.send("user_message", prompt="go")
        play = await puppet.begun()
        await play.say("hello")
        answer = play.ask()
        request = await owner.until("permission_request")
        asking = await metrics(served, served.server.token)
        assert asking["myagent_permissions_waiting"] == asking["myagent_turns_running"] == 1
        await decide(owner, request, "deny")
        await asyncio.wait_for(answer, PATIENCE)
        play.end()
        await owner.until("terminal_state")
        now = await metrics(served, served.server.token)
        assert now["myagent_connections owner"] == now["myagent_connections follower"] == now["myagent_sessions"] == 1
        for kind in ("prompt", "agent_stdout", "permission_request", "permission_resolved", "terminal_state"):
            assert now[f"myagent_events_total {kind}"] == 1
        stored = await served.events(next(iter(served.server.host.sessions)))
        assert now["myagent_event_bytes_total"] > sum(len(event.get("chunk", "")) for event in stored) > 0
        assert now["myagent_turns_total end_turn"] == now["myagent_permissions_total deny"] == 1
        assert now["myagent_permission_wait_seconds_count"] == 1
        assert now["myagent_permission_wait_seconds_sum"] > 0
        assert now["myagent_commit_seconds_count"] >= 5
        assert now["myagent_commit_seconds_bucket +Inf"] == now["myagent_commit_seconds_count"]
        assert now["myagent_lag_events"] == now["myagent_turns_running"] == now["myagent_permissions_waiting"] == 0
