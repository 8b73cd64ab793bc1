"""The audit says who did what, in the order in which it was committed, and shows every change that was made to it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from asking import ask, invite, of, trail
from puppet import Puppet
from wire import decide, scene

from myagent.access.registry import RevokeInvites
from myagent.core.audit import GENESIS, chained, entry, hash_of, verify
from myagent.eventlog import EventLog, Unit
from myagent.eventlog.memory import MemoryLog
from myagent.eventlog.sqlite import SqliteLog


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    from myagent.__main__ import main

    code = main(["remote", "audit", *arguments])
    return code, capsys.readouterr().out


# --- the chain ----------------------------------------------------------------------------------------------------


def chain(count: int) -> list[tuple[int, bytes]]:
    records: list[tuple[int, bytes]] = []
    prev = GENESIS
    for n in range(1, count + 1):
        record = chained(entry("kind", "2026-01-01T00:00:00Z", {"value": n}), n, prev)
        prev = hash_of(record)
        records.append((n, record))
    return records


def test_a_whole_chain_holds() -> None:
    records = chain(5)
    head = hash_of(records[-1][1])
    assert verify(records, count=5, head=head).fault is None
    assert verify([], count=0, head=GENESIS).fault is None


@pytest.mark.parametrize("at", range(5))
def test_every_change_of_every_record_breaks_a_link_that_is_named(at: int) -> None:
    records = chain(5)
    head = hash_of(records[-1][1])
    n, record = records[at]
    changed = [*records[:at], (n, record.replace(b"2026", b"2025")), *records[at + 1 :]]
    dropped = [*records[:at], *records[at + 1 :]]
    renumbered = [(number, body) for number, (_, body) in enumerate(dropped, 1)]
    doubled = [*records[: at + 1], records[at], *records[at + 1 :]]
    swapped = [*records[:at], *reversed(records[at : at + 2]), *records[at + 2 :]]
    for tampered in (changed, dropped, renumbered, doubled, *([swapped] if at < 4 else [])):
        fault = verify(tampered, count=5, head=head).fault
        assert fault is not None
        assert any(str(number) in fault for number in (at, at + 1, at + 2)), fault
    assert verify([*records[:at], (n, b"x")], count=5, head=head).fault == f"record {n} is no audit record"


def test_without_the_hashes_a_change_would_pass() -> None:
    """The negative control: a chain that is made anew from the changed record on holds, but for a head noted before."""
    before = hash_of(chain(5)[-1][1])
    assert verify(chain(4), count=4, head=hash_of(chain(4)[-1][1])).fault is None
    assert verify(chain(4), count=5, head=before).fault is not None


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_records_are_chained_in_the_order_of_their_commits(tmp_path: Path, kind: str) -> None:
    memory = MemoryLog()
    for opening in range(2):
        log: EventLog = memory if kind == "memory" else SqliteLog(tmp_path / "sessions.db")
        await log.open()
        for number in range(50):
            log.write(Unit(lambda _: None, audit=[entry("x", "t", {"v": number}), entry("y", "t", {"v": opening})]))
        await log.flush()
        records = await log.read_audit(0, max_bytes=1 << 24)
        assert [n for n, _ in records] == list(range(1, 100 * (opening + 1) + 1))
        assert verify(records, count=len(records), head=hash_of(records[-1][1])).fault is None
        assert [json.loads(record)["v"] for _, record in records[-100::2]] == list(range(50))
        assert await log.read_audit(len(records), max_bytes=10) == []
        assert len(await log.read_audit(0, max_bytes=1)) == 1
        await log.close()


async def test_a_refused_unit_leaves_no_hole_in_the_chain() -> None:
    log = MemoryLog()
    await log.open()
    log.full = True
    refused: list[object] = []
    log.write(Unit(lambda _: None, refused.append, audit=[entry("refused", "t", {})]))
    log.write(Unit(lambda _: None, audit=[entry("waits", "t", {})], fact=True))
    await asyncio.sleep(0)
    log.full = False
    await log.flush()
    records = await log.read_audit(0, max_bytes=1 << 20)
    assert len(refused) == 1
    assert [json.loads(record)["kind"] for _, record in records] == ["waits"]
    assert verify(records, count=1, head=hash_of(records[0][1])).fault is None
    await log.close()


# --- what is recorded ---------------------------------------------------------------------------------------------


async def test_who_did_what_is_recorded(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet) as here:
        invite_id, shown = await invite(here.server, label="friday")
        owner = await here.join()
        watcher = await here.join(headers=shown)
        message_id = await owner.send("user_message", prompt="do it")
        play = await puppet.begun()
        allowed, session_id = play.ask("make"), play.turn.session_id
        request = await owner.until("permission_request")
        await decide(owner, request, "allow")
        assert (await allowed).kind == "allow"
        open_one = play.ask("rm -rf /")
        second = await owner.until("permission_request")
        await owner.acked(await owner.send("cancel", sessionId=session_id))
        assert (await open_one).kind == "cancelled"
        await owner.until("terminal_state")
        await ask(here.server, RevokeInvites())
        await watcher.closed()
        await owner.acked(await owner.send("release"))
        records = await trail(here)

        who = {"credential": "owner", "connection": owner.connection_id, "epoch": owner.welcome["ownerEpoch"]}
        spectator = {"credential": invite_id, "connection": watcher.connection_id}
        (prompt,) = of(records, "prompt")
        assert who.items() | {("session", session_id), ("turn", message_id)} <= prompt.items()
        assert [each["request"] for each in of(records, "request")] == [
            request["permissionRequestId"], second["permissionRequestId"],
        ]  # fmt: skip
        (decision,) = of(records, "decision")
        bound = {"request": request["permissionRequestId"], "digest": request["request"]["digest"], "outcome": "allow"}
        assert (who | bound).items() <= decision.items()
        (cancel,) = of(records, "cancel")
        assert who.items() <= cancel.items()
        (resolved,) = of(records, "resolved")
        assert (who | {"outcome": "cancelled", "digest": second["request"]["digest"]}).items() <= resolved.items()
        assert [each["connection"] for each in of(records, "join")] == [owner.connection_id, watcher.connection_id]
        assert spectator.items() <= of(records, "join")[1].items()
        assert spectator.items() <= of(records, "leave")[0].items()
        assert [each["why"] for each in of(records, "owner")] == ["joined", "released"]
        (made,), (gone,) = of(records, "invite"), of(records, "revoked")
        assert (made["credential"], made["label"], gone["credential"]) == (invite_id, "friday", invite_id)
        assert [each["n"] for each in records] == list(range(1, len(records) + 1))


async def test_what_ran_is_what_the_audit_says_was_allowed(tmp_path: Path) -> None:
    """Replayed, the audit gives exactly the commands that ran."""
    async with scene(tmp_path) as here:
        owner = await here.join()
        for number in range(6):
            await here.turn(owner, f"!touch ran-{number}", allow=number % 2 == 0)
        await owner.leave()
        records = await trail(here)
        asked = {each["request"]: each["turn"] for each in of(records, "request")}
        allowed = [asked[each["request"]] for each in of(records, "decision") if each["outcome"] == "allow"]
        prompts = [each["turn"] for each in of(records, "prompt")]
        ran = sorted(path.name for path in tmp_path.glob("ran-*"))
        assert ran == sorted(f"ran-{prompts.index(turn)}" for turn in allowed)
        assert len(ran) == 3


async def test_what_a_mode_allowed_is_recorded_too(tmp_path: Path) -> None:
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        await here.turn(await here.join(), "!true")
        (record,) = of(await trail(here), "by_mode")
        assert (record["mode"], record["outcome"], record["tool"]) == ("bypassPermissions", "allow", "Bash")


# --- the command --------------------------------------------------------------------------------------------------


async def test_the_command_shows_and_proves_the_trail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here_is = ("--cwd", str(tmp_path))
    async with scene(tmp_path) as here:
        owner = await here.join("?label=a%20b")
        first = (await here.turn(owner, "help"))["sessionId"]
        second = (await here.turn(owner, "help"))["sessionId"]
        await trail(here)
        code, out = await asyncio.to_thread(command, capsys, "verify", "--json", *here_is)
        assert code == 0, "while the server runs"
        noted = json.loads(out)["head"]
    code, out = command(capsys, "--json", *here_is)
    records = [json.loads(line) for line in out.splitlines()]
    assert (code, records[0]["kind"], records[-1]["kind"]) == (0, "join", "owner")
    one = [json.loads(line) for line in command(capsys, "--json", "--session", first, *here_is)[1].splitlines()]
    assert {each["session"] for each in one} == {first}
    assert second[-8:] not in command(capsys, "--session", first, *here_is)[1]
    shown = command(capsys, *here_is)[1]
    assert 'label="a b"' in shown and first[-8:] in shown
    assert max(map(len, shown.splitlines())) < 120, "for humans; all ids are in --json"
    assert command(capsys, "verify", "--head", noted, *here_is)[0] == 0
    assert command(capsys, "verify", "--head", "0" * 63 + "1", *here_is)[0] == 1
    assert records[0]["connection"] and "prev" in records[0]


async def test_tampering_with_the_file_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with scene(tmp_path) as here:
        await here.turn(await here.join(), "help")
    path = tmp_path / ".myagent" / "remote" / "sessions.db"
    here_is = ("--cwd", str(tmp_path))
    assert command(capsys, "verify", *here_is)[0] == 0
    image = path.read_bytes()
    for change, named in (
        ("UPDATE audit SET body = replace(body, 'owner', 'OWNER') WHERE n = 2", "record 2 was changed"),
        ("DELETE FROM audit WHERE n = 2", "record 2 is missing"),
        ("DELETE FROM audit WHERE n = (SELECT max(n) FROM audit)", "the end of the chain is broken"),
        ("UPDATE audit SET body = 'x' WHERE n = 3", "record 3 is no audit record"),
    ):
        path.write_bytes(image)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("DROP TRIGGER audit_update; DROP TRIGGER audit_delete;")
            connection.execute(change)
            connection.commit()
        code, out = command(capsys, "verify", *here_is)
        assert code == 1, change
        assert named in out
