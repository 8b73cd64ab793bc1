"""Hostile messages: each row of the tables J, U, D, R and C gets exactly its answer, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from raw import Raw, frame
from wire import Client, Message, Scene, decide, scene

pytestmark = pytest.mark.usefixtures("quiet_log")

# Placeholders, filled in for each test: a session whose turn waits for a decision, one that is idle, the open request
# and its digest, one that was denied before, the head of the first session, the owner's connection.
PLACES = ("$BUSY", "$IDLE", "$OPEN", "$DIGEST", "$DENIED", "$HEAD", "$SELF", "$FOLLOWER")

# What makes input recognisable: no answer may repeat it.
CANARY = "canary"

Row = tuple[str | dict[str, Any], str]


def J(text: str) -> Row:  # noqa: N802 -- the table's letter
    return text, "bad_json"


def bad(**fields: Any) -> Row:
    return {"id": "x", **fields}, "bad_message"


def decision(code: str, request: Any = "$OPEN", **body: Any) -> Row:
    fields = {"permissionRequestId": request, "decision": {"kind": "allow", **body}}
    return {"type": "permission_decision", "id": "x", **fields}, code


JSON: dict[str, Row] = {
    "J1-empty": J(""),
    "J2-blank": J(" \n"),
    "J3-brace": J("{"),
    "J4-array": J('[{"type":"ping","id":"x"}]'),
    "J5-null": J("null"),
    "J6-number": J("1"),
    "J7-string": J('"canary"'),
    "J8-two-objects": J('{"type":"ping","id":"x"} {"type":"ping","id":"y"}'),
    "J9-trailing-comma": J('{"type":"ping","id":"x",}'),
    "J10-single-quotes": J("{'type':'ping','id':'x'}"),
    "J11-unquoted": J("{type:1}"),
    "J12-comment": J('{"type":"ping","id":"x"}//canary'),
    "J13-byte-order-mark": J('\ufeff{"type":"ping","id":"x"}'),
    "J14-nan": J('{"type":"ping","id":"x","n":NaN}'),
    "J15-infinity": J('{"type":"ping","id":"x","n":-Infinity}'),
    "J16-huge-float": J('{"type":"ping","id":"x","n":1e999}'),
    "J17-huge-integer": J('{"type":"ping","id":"x","n":' + "9" * 5000 + "}"),
    "J18-lone-surrogate": J('{"type":"ping","id":"\\ud800"}'),
    "J19-lone-low-surrogate": J('{"type":"user_message","id":"x","prompt":"\\udc00canary"}'),
    "J20-reversed-surrogates": J('{"type":"ping","id":"x","n":"\\ude00\\ud83d"}'),
    "J21-duplicate-key": J('{"type":"ping","id":"x","id":"y"}'),
    "J22-duplicate-type": J('{"type":"ping","type":"user_message","id":"x","prompt":"canary"}'),
    "J23-duplicate-escaped": J('{"type":"ping","id":"x","\\u0069d":"y"}'),
    "J24-duplicate-within": J('{"type":"hello","id":"x","client":{"name":"a","name":"b"}}'),
    "J25-deep-arrays": J("[" * 100_000 + "]" * 100_000),
    "J26-deep-objects": J('{"a":' * 50_000 + "1" + "}" * 50_000),
    "J27-deep-in-a-message": J('{"type":"ping","id":"x","n":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "J28-control-character": J('{"type":"ping","id":"x","n":"\x01"}'),
    "J29-bad-escape": J('{"type":"ping","id":"x","n":"\\x41"}'),
    "J30-leading-zero": J('{"type":"ping","id":"x","n":01}'),
}

SHAPES: dict[str, Row] = {
    "J31-no-type": bad(prompt=CANARY),
    "J32-type-number": bad(type=1),
    "J33-type-null": bad(type=None),
    "J34-type-list": bad(type=["ping"]),
    "J35-type-unknown": ({"type": CANARY, "id": "x"}, "unknown_type"),
    "J36-type-empty": ({"type": "", "id": "x"}, "unknown_type"),
    "J37-type-case": ({"type": "Ping", "id": "x"}, "unknown_type"),
    "J38-type-of-the-server": ({"type": "role", "id": "x", "role": "owner"}, "unknown_type"),
    "J39-type-of-an-event": ({"type": "agent_stdout", "id": "x", "chunk": CANARY}, "unknown_type"),
    "J40-empty-object": ({}, "bad_message"),
    "J41-id-missing": ({"type": "ping"}, "bad_message"),
    "J42-id-null": ({"type": "ping", "id": None}, "bad_message"),
    "J43-id-number": ({"type": "ping", "id": 1}, "bad_message"),
    "J44-id-empty": ({"type": "ping", "id": ""}, "bad_message"),
    "J45-id-long": ({"type": "ping", "id": "x" * 129}, "bad_message"),
    "J46-id-newline": ({"type": "ping", "id": "canary\n"}, "bad_message"),
    "J47-id-nul": ({"type": "ping", "id": "canary\0"}, "bad_message"),
    "J48-id-escape": ({"type": "ping", "id": "\x1b[2J"}, "bad_message"),
    "J49-id-c1": ({"type": "ping", "id": "\x9b2J"}, "bad_message"),
    "J50-id-object": ({"type": "ping", "id": {"a": CANARY}}, "bad_message"),
}

PROMPTS: dict[str, Row] = {
    "U1-no-prompt": bad(type="user_message"),
    "U2-prompt-null": bad(type="user_message", prompt=None),
    "U3-prompt-number": bad(type="user_message", prompt=5),
    "U4-prompt-list": bad(type="user_message", prompt=[CANARY]),
    "U5-blank": bad(type="user_message", prompt=""),
    "U6-blank-spaces": bad(type="user_message", prompt=" \t\r\n\u2003\u3000"),
    "U7-too-large": ({"type": "user_message", "id": "x", "prompt": "x" * ((256 << 10) + 1)}, "too_large"),
    "U8-too-large-in-bytes": ({"type": "user_message", "id": "x", "prompt": "é" * ((128 << 10) + 1)}, "too_large"),
    "U9-session-unknown": (
        {"type": "user_message", "id": "x", "prompt": CANARY, "sessionId": "remote_20260101000000_00000000"},
        "unknown_session",
    ),
    "U10-session-path": (
        {"type": "user_message", "id": "x", "prompt": CANARY, "sessionId": "../../etc/passwd"},
        "unknown_session",
    ),
    "U11-session-empty": ({"type": "user_message", "id": "x", "prompt": CANARY, "sessionId": ""}, "unknown_session"),
    "U12-session-number": bad(type="user_message", prompt=CANARY, sessionId=5),
    "U13-session-sql": (
        {"type": "user_message", "id": "x", "prompt": CANARY, "sessionId": "' OR 1=1 --"},
        "unknown_session",
    ),
    "U14-mode-unknown": bad(type="user_message", prompt=CANARY, permissionMode="root"),
    "U15-mode-case": bad(type="user_message", prompt=CANARY, permissionMode="Plan"),
    "U16-mode-bypass": (
        {"type": "user_message", "id": "x", "prompt": CANARY, "permissionMode": "bypassPermissions"},
        "not_allowed",
    ),
    "U17-skills-string": bad(type="user_message", prompt=CANARY, skillNames=CANARY),
    "U18-skills-numbers": bad(type="user_message", prompt=CANARY, skillNames=[1]),
    "U19-other-prompt": ({"type": "user_message", "id": "t1", "prompt": CANARY, "sessionId": "$IDLE"}, "conflict"),
    "U20-other-prompt-running": (
        {"type": "user_message", "id": "t3", "prompt": CANARY, "sessionId": "$BUSY"},
        "conflict",
    ),
}

DECISIONS: dict[str, Row] = {
    "D1-unknown": decision("unknown_request", "00000000-0000-4000-8000-000000000000"),
    "D2-empty": decision("unknown_request", ""),
    "D3-number": decision("bad_message", 5),
    "D4-long": decision("bad_message", "x" * 129),
    "D5-session-as-request": decision("unknown_request", "$BUSY"),
    "D6-no-request": bad(type="permission_decision", decision={"kind": "allow"}),
    "D7-no-decision": bad(type="permission_decision", permissionRequestId="$OPEN"),
    "D8-decision-string": bad(type="permission_decision", permissionRequestId="$OPEN", decision="allow"),
    "D9-decision-list": bad(type="permission_decision", permissionRequestId="$OPEN", decision=["allow"]),
    "D10-no-kind": bad(type="permission_decision", permissionRequestId="$OPEN", decision={}),
    "D11-kind-unknown": decision("bad_message", kind=CANARY),
    "D12-kind-case": decision("bad_message", kind="Allow"),
    "D13-kind-outcome": decision("bad_message", kind="expired"),
    "D14-kind-true": decision("bad_message", kind=True),
    "D15-reason-long": decision("bad_message", reason="x" * 4097),
    "D16-reason-number": decision("bad_message", reason=5),
    "D17-digest-other": decision("digest_mismatch", digest="0" * 64),
    "D18-digest-empty": decision("digest_mismatch", digest=""),
    "D19-digest-long": decision("bad_message", digest="0" * 129),
    "D20-option-unknown": decision("bad_message", optionId=CANARY),
    "D21-option-long": decision("bad_message", optionId="x" * 257),
    "D22-resolved-otherwise": decision("already_resolved", "$DENIED"),
}

REPLAYS: dict[str, Row] = {
    "R1-unknown": ({"type": "resume", "id": "x", "sessionId": "remote_20260101000000_00000000"}, "unknown_session"),
    "R2-path": ({"type": "resume", "id": "x", "sessionId": "../canary"}, "unknown_session"),
    "R3-missing": bad(type="resume"),
    "R4-number": bad(type="resume", sessionId=5),
    "R5-negative": bad(type="resume", sessionId="$IDLE", afterSeq=-1),
    "R6-fraction": bad(type="resume", sessionId="$IDLE", afterSeq=1.5),
    "R7-string": bad(type="resume", sessionId="$IDLE", afterSeq="1"),
    "R8-true": bad(type="resume", sessionId="$IDLE", afterSeq=True),
    "R9-2^53": bad(type="resume", sessionId="$IDLE", afterSeq=2**53),
    "R10-2^64": bad(type="resume", sessionId="$IDLE", afterSeq=2**64),
    "R11-beyond-head": bad(type="resume", sessionId="$BUSY", afterSeq="$HEAD+1"),
    "R12-far-beyond": bad(type="resume", sessionId="$BUSY", afterSeq=2**53 - 1),
}

OTHERS: dict[str, Row] = {
    "C1-cancel-unknown": ({"type": "cancel", "id": "x", "sessionId": CANARY}, "unknown_session"),
    "C2-cancel-nothing": bad(type="cancel"),
    "C3-cancel-turn-number": bad(type="cancel", sessionId="$BUSY", turnId=5),
    "C4-cancel-turn-empty": bad(type="cancel", sessionId="$BUSY", turnId=""),
    "C5-handover-nobody": bad(type="handover"),
    "C6-handover-unknown": ({"type": "handover", "id": "x", "to": CANARY}, "not_claimable"),
    "C7-handover-self": ({"type": "handover", "id": "x", "to": "$SELF"}, "not_claimable"),
    "C8-handover-long": bad(type="handover", to="x" * 129),
    "C9-handover-list": bad(type="handover", to=["$FOLLOWER"]),
    "C10-hello-nobody": bad(type="hello"),
    "C11-hello-string": bad(type="hello", client=CANARY),
    "C12-hello-nameless": bad(type="hello", client={"version": "1"}),
    "C13-hello-long-name": bad(type="hello", client={"name": "x" * 129}),
    "C14-hello-long-label": bad(type="hello", client={"name": "x"}, label="x" * 129),
    "C15-hello-wants": bad(type="hello", client={"name": "x"}, wants="updates"),
    "C16-hello-long-reclaim": bad(type="hello", client={"name": "x"}, reclaimToken="x" * 257),
}

ROWS = JSON | SHAPES | PROMPTS | DECISIONS | REPLAYS | OTHERS

# What only an owner may send, as a follower and as a former owner would send it; all of it right otherwise.
WRITES: dict[str, dict[str, Any]] = {
    "F1-prompt": {"type": "user_message", "id": "x", "prompt": "help"},
    "F2-prompt-blank": {"type": "user_message", "id": "x", "prompt": ""},
    "F3-decision": {
        "type": "permission_decision",
        "id": "x",
        "permissionRequestId": "$OPEN",
        "decision": {"kind": "allow", "digest": "$DIGEST"},
    },
    "F4-cancel": {"type": "cancel", "id": "x", "sessionId": "$BUSY"},
    "F5-release": {"type": "release", "id": "x"},
    "F6-handover": {"type": "handover", "id": "x", "to": "$FOLLOWER"},
    "F7-who": {"type": "who", "id": "x"},
    "F7-open-session": {"type": "open_session", "id": "x"},
}


class World:
    """A server with an idle session, one that waits for a decision, an owner, and a follower."""

    async def set_up(self, here: Scene) -> None:
        self.owner, self.follower = await here.join(), await here.join()
        idle = await here.turn(self.owner, "help", id="t1")
        await here.turn(self.owner, "!touch denied", id="t2", sessionId=idle["sessionId"], allow=False)
        denied = self.owner.of("permission_request")[-1]["permissionRequestId"]
        await self.owner.send("user_message", id="t3", prompt="!touch made")
        self.request = await self.owner.until("permission_request", id="t3")
        for client in (self.owner, self.follower):
            await client.settle()
        found = (self.request["sessionId"], idle["sessionId"], self.request["permissionRequestId"])
        found += (self.request["request"]["digest"], denied, str(self.request["seq"]))
        found += (self.owner.connection_id, self.follower.connection_id)
        self._places = dict(zip(PLACES, found, strict=True))

    def fill(self, payload: str | dict[str, Any]) -> str:
        if isinstance(payload, str):
            return payload
        text = json.dumps(payload).replace('"$HEAD+1"', str(self.request["seq"] + 1))
        for place, value in self._places.items():
            text = text.replace(place, value)
        return text

    async def is_unharmed(self, here: Scene, workspace: Path) -> None:
        """Nothing was stored or done; the open request is still open and can be answered."""
        for client in (self.owner, self.follower):
            news = [message for message in await client.settle() if message["type"] not in ("presence", "error")]
            assert not news
        sessions = json.loads((await here.get("/sessions"))[1])["sessions"]
        assert {each["sessionId"] for each in sessions} == {self._places["$BUSY"], self._places["$IDLE"]}
        assert not (workspace / "made").exists() and not (workspace / "denied").exists()
        await self.owner.acked(await decide(self.owner, self.request, "allow"))
        assert (await self.owner.until("terminal_state", id="t3"))["exitCode"] == 0
        assert (workspace / "made").exists()


async def answered(client: Client, text: str) -> Message:
    """The one answer to what is sent."""
    await client.send_raw(text)
    while (answer := await client.next())["type"] not in ("error", "ack", "pong"):
        pass
    assert not [message for message in await client.settle() if message["type"] in ("error", "ack")]
    return answer


@pytest.mark.parametrize("row", ROWS)
async def test_each_bad_message_gets_its_error_and_changes_nothing(tmp_path: Path, row: str) -> None:
    payload, code = ROWS[row]
    async with scene(tmp_path) as here:
        world = World()
        await world.set_up(here)
        text = world.fill(payload)
        error = await answered(world.owner, text)
        assert (error["type"], error["code"]) == ("error", code)
        named = isinstance(payload, dict) and payload.get("id") in ("x", "t1", "t3")
        assert error.get("id") == (payload["id"] if named else None)  # type: ignore[index]
        assert set(error) <= {"type", "id", "code", "message"}
        assert CANARY not in error["message"] and str(tmp_path) not in error["message"]
        assert "Traceback" not in error["message"] and len(error["message"]) < 200
        await world.is_unharmed(here, tmp_path)


@pytest.mark.parametrize("row", WRITES)
async def test_a_follower_and_a_former_owner_cause_nothing(tmp_path: Path, row: str) -> None:
    async with scene(tmp_path) as here:
        world = World()
        await world.set_up(here)
        text = world.fill(WRITES[row])
        error = await answered(world.follower, text)
        assert (error["code"], error["id"]) == ("not_owner", "x")
        assert error["message"].startswith("read-only follower")
        await world.owner.acked(await world.owner.send("handover", to=world.follower.connection_id))
        error = await answered(world.owner, text)
        assert (error["code"], error["id"]) == ("stale_owner", "x")
        await world.follower.acked(await world.follower.send("handover", to=world.owner.connection_id))
        for client in (world.owner, world.follower):
            await client.settle()
        await world.is_unharmed(here, tmp_path)


async def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        pong = await answered(owner, '{"type":"ping","id":"x","role":"owner","seq":5,"__proto__":{"a":[1,2.5,null]}}')
        assert pong == {"type": "pong", "id": "x"}
        assert (await here.turn(owner, "help", seq=1, ownerEpoch=99, by="somebody"))["exitCode"] == 0


async def test_every_character_that_an_id_may_have_comes_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        for message_id in ("é", "😀" * 128, '"\\/', "../x", "a b", "<script>", "\u202e", "x" * 128):
            assert await answered(owner, json.dumps({"type": "ping", "id": message_id})) == {
                "type": "pong",
                "id": message_id,
            }


async def test_a_session_is_not_there_for_whoever_watches_another(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        first = await here.join()
        one = (await here.turn(first, "help"))["sessionId"]
        other = (await here.turn(first, "help"))["sessionId"]
        await first.leave()
        owner = await here.join(f"?session={one}")
        assert owner.role == "owner"
        for kind, fields in [("user_message", {"prompt": "help"}), ("resume", {"afterSeq": 0}), ("cancel", {})]:
            await owner.refused(await owner.send(kind, sessionId=other, **fields), "unknown_session")
        await owner.refused(await owner.send("user_message", prompt="help"), "not_allowed")
        assert (await here.turn(owner, "help", sessionId=one))["exitCode"] == 0


async def test_a_follower_that_floods_is_slowed_down_then_closed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        for _ in range(100):
            await follower.send("ping")
        assert await follower.closed() == 1008
        assert 20 <= len(follower.of("pong")) < 60
        assert {error["code"] for error in follower.of("error")} == {"rate_limited"}
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def test_too_many_errors_close_the_connection(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Raw(here.server) as hostile:
        watcher = await here.join("?role=follower")
        await hostile.upgrade()
        await watcher.until("owner_changed")
        await hostile.send(frame(1, b"{") * 40)
        assert await hostile.close_code() == 1008
        await watcher.until("owner_changed", owner=None)
        assert (await here.join()).role == "owner"


async def test_resumes_that_pile_up_are_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        session = (await here.turn(owner, "help"))["sessionId"]
        for _ in range(30):
            await owner.send("resume", sessionId=session, afterSeq=0)
        while len(owner.of("replayed", "error")) < 30:
            await owner.next()
        assert {error["code"] for error in owner.of("error")} <= {"rate_limited"}
        assert len(owner.of("replayed")) >= 16
