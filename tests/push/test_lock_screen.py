"""A device that was enrolled is called through a push service on loopback, and answers by what it was called with."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest
from tests.push.calling import answered, stage
from tests.push.fake import Browser

from myagent.core.messages import May, Question, SessionId
from myagent.push.lock_screen import LockScreen

LONG = "x" * 500


async def test_a_request_calls_the_device_and_its_answer_is_the_decision(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        owner, play = await here.play()
        answer = play.ask("secret words")
        request = await owner.until("permission_request")
        came = await here.service.next()
        assert (came.headers["content-encoding"], came.headers["urgency"]) == ("aes128gcm", "high")
        assert came.headers["ttl"] == "600"
        assert came.headers["authorization"].startswith("vapid t=")
        assert b"secret words" not in came.body
        call = json.loads(browser.opened(came.body))
        assert (call["title"], sorted(call["answers"])) == ("Permission asked", ["deny"])
        assert call["body"].startswith(tmp_path.name)
        assert "secret" not in str(call)
        assert call["session"] == request["sessionId"]
        assert await here.press(call["answers"]["deny"], "deny") == (200, "deny")
        assert (await answered(answer)).kind == "deny"
        resolved = await owner.until("permission_resolved")
        assert (resolved["outcome"], resolved["by"]) == ("deny", "phone")
        play.end()


async def test_with_details_what_fits_may_be_allowed(tmp_path: Path) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        owner, play = await here.play()
        answer = play.ask("make test")
        call = await here.service.call(browser)
        assert call["body"].startswith("bash: make test\n")
        assert await here.press(call["answers"]["allow"], "allow") == (200, "allow")
        assert (await answered(answer)).kind == "allow"
        resolved = await owner.until("permission_resolved")
        assert (resolved["outcome"], resolved["by"]) == ("allow", "phone")
        play.end()


@pytest.mark.parametrize("text", [LONG, "cur\u043b x", "a\nb\nc\nd"], ids=["long", "look-alike", "lines"])
async def test_what_was_not_seen_whole_or_warns_can_only_be_denied(tmp_path: Path, text: str) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        _, play = await here.play()
        answer = play.ask(text)
        call = await here.service.call(browser)
        assert sorted(call["answers"]) == ["deny"]
        assert (await here.press(call["answers"]["deny"], "allow"))[0] == 401
        assert not answer.done()
        play.end()


async def test_a_secret_is_covered_before_it_is_cut_and_cannot_be_allowed(tmp_path: Path) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        _, play = await here.play()
        play.ask(f"echo {here.server.token}")
        call = await here.service.call(browser)
        assert here.server.token not in str(call)
        assert sorted(call["answers"]) == ["deny"]
        play.ask(LONG, title=f"{'y' * 100} {here.server.token}")
        call = await here.service.call(browser)
        assert here.server.token[:8] not in call["body"]
        play.end()


# --- tickets --------------------------------------------------------------------------------------------------------


async def test_a_ticket_is_good_once_for_its_answer_from_our_page(tmp_path: Path) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        owner, play = await here.play()
        answer = play.ask("make test")
        tickets = (await here.service.call(browser))["answers"]
        assert (await here.press(tickets["allow"], "allow", Origin=""))[0] == 403
        assert (await here.press(tickets["allow"], "allow", Origin="https://elsewhere.example"))[0] == 403
        assert (await here.press(tickets["allow"], "allow", Sec_Fetch_Site="cross-site"))[0] == 403
        assert (await here.press("myagent_tkt_" + "x" * 43, "allow"))[0] == 401
        assert (await here.press(tickets["deny"], "allow"))[0] == 401  # the other kind: it and its sibling are spent
        assert (await here.press(tickets["deny"], "deny"))[0] == 401
        assert (await here.press(tickets["allow"], "allow"))[0] == 401
        assert not answer.done()
        assert owner.of("permission_resolved") == []
        play.end()


async def test_a_ticket_dies_with_its_request_and_answers_no_other(tmp_path: Path) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        owner, play = await here.play()
        first = play.ask("make test")
        request = await owner.until("permission_request")
        tickets = (await here.service.call(browser))["answers"]
        decision = {"kind": "deny", "digest": request["request"]["digest"]}
        await owner.acked(
            await owner.send(
                "permission_decision", permissionRequestId=request["permissionRequestId"], decision=decision
            )
        )
        assert (await answered(first)).kind == "deny"
        withdrawn = await here.service.call(browser)
        assert (withdrawn["closed"], withdrawn["title"]) == (True, "No longer asked: deny")
        second = play.ask("make test")  # the same words: another request
        await here.service.call(browser)
        assert (await here.press(tickets["allow"], "allow"))[0] == 401
        assert not second.done()
        play.end()


async def test_the_calls_for_one_request_take_each_others_place(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        _, play = await here.play()
        play.ask("make test")
        asked = await here.service.next()
        play.end()  # the turn ends, and what it asked is over
        over = await here.service.next()
        assert asked.headers["topic"] == over.headers["topic"]
        tags = [json.loads(browser.opened(each.body))["tag"] for each in (asked, over)]
        assert tags[0] == tags[1]


@pytest.mark.parametrize("what", ["device", "invite"])
async def test_who_is_revoked_is_called_no_more_and_answers_no_more(tmp_path: Path, what: str) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        token, invite_id = here.enrol()
        await here.subscribe(token, browser)
        _, play = await here.play()
        answer = play.ask("make test")
        ticket = (await here.service.call(browser))["answers"]["allow"]
        [kept] = here.server.access.push.all()
        here.server.revoke(kept.device if what == "device" else invite_id)
        assert here.server.access.push.all() == []
        assert len(here.screen.tickets) == 0
        assert (await here.press(ticket, "allow"))[0] == 401
        assert not answer.done()
        play.end()


async def test_a_ticket_that_was_redeemed_before_its_device_was_revoked_does_nothing(tmp_path: Path) -> None:
    """The last look is when its effect happens, not when it was shown."""
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        token, invite_id = here.enrol()
        await here.subscribe(token, browser)
        _, play = await here.play()
        answer = play.ask("make test")
        ticket = (await here.service.call(browser))["answers"]["allow"]
        async with here.server.host.store.lock:  # it waits for what is being stored
            pressing = asyncio.create_task(here.press(ticket, "allow"))
            await here.until(lambda: len(here.screen.tickets) == 0)
            here.server.revoke(invite_id)
        status, why = await answered(pressing)
        assert (status, why) == (409, "the credential is no longer good")
        assert not answer.done()
        play.end()


# --- who is called --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("may", ["watch", "stop"])
async def test_who_may_not_answer_cannot_be_called(tmp_path: Path, may: May) -> None:
    async with stage(tmp_path) as here:
        client = await here.connect(here.enrol(may)[0])
        body = Browser().subscription(here.service.endpoint("x"))
        for kind, fields in (("push_on", body), ("push_state", {}), ("push_off", {})):
            await client.refused(await client.send(kind, **fields), "not_owner")
        assert here.server.access.push.all() == []


async def test_only_a_device_can_be_called(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        body = Browser().subscription(here.service.endpoint("x"))
        owner = await here.here.join()
        await owner.refused(await owner.send("push_on", **body), "not_allowed")
        guest = await here.connect(here.server.invite(may="approve").token)
        await guest.refused(await guest.send("push_on", **body), "not_allowed")
        assert here.server.access.push.all() == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://push.example.org/x", "https://127.0.0.1/x", "https://[::1]/x", "https://169.254.169.254/x",
     "https://localhost/x"],
)  # fmt: skip
async def test_a_hostile_endpoint_is_refused(tmp_path: Path, endpoint: str) -> None:
    async with stage(tmp_path) as here:
        here.screen.anywhere = False
        client = await here.connect(here.enrol()[0])
        sent = await client.send("push_on", **Browser().subscription(endpoint))
        await client.refused(sent, "not_allowed")
        assert here.server.access.push.all() == []


async def test_an_endpoint_of_ten_kilobytes_is_no_message_at_all(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        client = await here.connect(here.enrol()[0])
        endpoint = "https://push.example.org/" + "x" * 10_000
        await client.refused(await client.send("push_on", **Browser().subscription(endpoint)), "bad_message")


async def test_it_is_turned_on_and_off_and_the_key_is_made_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        kept = tmp_path / ".myagent" / "remote" / "push.json"
        client = await here.connect(here.enrol("drive")[0])
        assert not kept.exists()
        first = await client.until("push", id=await client.send("push_state"))
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        await client.acked(await client.send("push_on", **Browser().subscription(here.service.endpoint("x"))))
        second = await client.until("push", id=await client.send("push_state"))
        assert (first["on"], second["on"], first["publicKey"]) == (False, True, second["publicKey"])
        await client.acked(await client.send("push_off"))
        await client.acked(await client.send("push_off"), duplicate=True)
        assert here.server.access.push.all() == []


async def test_a_device_of_one_session_is_called_for_that_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        owner, play = await here.play()
        mine = (await owner.until("prompt"))["sessionId"]
        all_, one = Browser(), Browser()
        await here.subscribe(here.enrol(name="all")[0], all_, "all")
        await here.subscribe(here.enrol(name="one", session_id=mine)[0], one, "one")
        await owner.send("open_session")
        opened = await owner.until("ack", duplicate=False)
        await owner.send("user_message", prompt="other", sessionId=opened["sessionId"])
        other = await here.puppet.begun()
        other.ask("elsewhere")
        assert (await here.service.next()).path == "/push/all"
        play.ask("here")
        assert {(await here.service.next()).path for _ in range(2)} == {"/push/all", "/push/one"}
        play.end()
        other.end()


@pytest.mark.parametrize("status", [404, 410])
async def test_whom_its_push_service_knows_no_more_is_forgotten(tmp_path: Path, status: int) -> None:
    async with stage(tmp_path) as here:
        await here.subscribe(here.enrol()[0], Browser())
        here.service.status = status
        _, play = await here.play()
        play.ask("x")
        await here.service.next()
        await here.until(lambda: here.server.access.push.all() == [])
        play.end()


@pytest.mark.parametrize("status", [302, 400, 429, 500])
async def test_a_service_that_fails_is_said_once_and_the_turn_goes_on(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(tmp_path) as here:
        await here.subscribe(here.enrol()[0], Browser())
        here.service.status, here.service.location = status, "https://127.0.0.1:1/inside"
        owner, play = await here.play()
        play.ask("x")
        await here.service.next()
        await here.until(lambda: f"has answered {status}" in caplog.text)
        assert here.service.endpoint("phone") not in caplog.text
        assert len(here.server.access.push.all()) == 1
        caplog.clear()
        play.end()
        await owner.until("terminal_state")
        await here.service.next()
        await here.until(lambda: f"has answered {status}" in caplog.text)
        caplog.clear()


async def test_while_somebody_is_there_who_may_answer_nobody_is_called_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path, notify_after=3600.0) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        owner, play = await here.play()
        play.ask("x")
        await owner.until("permission_request")
        await owner.settle()
        assert here.service.connections == 0
        await owner.leave()  # now nobody is there
        assert (await here.service.call(browser))["title"] == "Permission asked"
        play.end()


async def test_a_question_is_told_and_looked_at(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        times = {"asked_at": "", "expires_at": ""}
        here.screen.event(Question(id="t", session_id=SessionId("s"), question_id="q", message="Which one?", **times))
        call = await here.service.call(browser)
        assert (call["title"], call.get("answers")) == ("A question waits", None)


async def test_an_agents_own_process_answers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        _, play = await here.play()
        answer = play.ask("make test")
        ticket = (await here.service.call(browser))["answers"]["allow"]
        monkeypatch.setattr("myagent.server.connection.process_origin.why_inside", lambda *addresses: "it is inside")
        status, why = await here.press(ticket, "allow")
        assert status == 409 and "process of the agent" in why
        assert not answer.done()
        play.end()


async def test_the_answer_is_in_the_audit_as_the_devices(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        browser = Browser()
        token, invite_id = here.enrol()
        await here.subscribe(token, browser)
        [kept] = here.server.access.push.all()
        _, play = await here.play()
        answer = play.ask("x")
        call = await here.service.call(browser)
        await here.press(call["answers"]["deny"], "deny")
        assert (await answered(answer)).kind == "deny"
        play.end()
        records = await here.audit()
        [decided] = [each for each in records if each.get("device") == kept.device and "outcome" in each]
        assert (decided["credential"], decided["outcome"]) == (invite_id, "deny")
        assert "push_on" in {each["kind"] for each in records}


# --- negative controls ------------------------------------------------------------------------------------------------


def unspent(screen: LockScreen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tickets that stay good."""
    monkeypatch.setattr(screen.tickets, "redeem", lambda ticket, answer: next(iter(screen.tickets._waiting.values())))


async def test_a_ticket_that_is_not_spent_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(tmp_path) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        _, play = await here.play()
        first = play.ask("x")
        ticket = (await here.service.call(browser))["answers"]["deny"]
        monkeypatch.setattr(here.screen.tickets, "close", lambda request_id: None)
        unspent(here.screen, monkeypatch)
        assert (await here.press(ticket, "deny"))[0] == 200
        assert (await answered(first)).kind == "deny"
        assert (await here.press(ticket, "deny"))[0] != 401  # as it must be
        play.end()


async def test_a_ticket_that_outlives_its_request_still_answers_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        owner, play = await here.play()
        monkeypatch.setattr(here.screen.tickets, "close", lambda request_id: None)
        play.ask("make test")
        ticket = (await here.service.call(browser))["answers"]["allow"]
        request = await owner.until("permission_request")
        body = {"kind": "deny", "digest": request["request"]["digest"]}
        await owner.send("permission_decision", permissionRequestId=request["permissionRequestId"], decision=body)
        await owner.until("permission_resolved")
        second = play.ask("make test")
        assert (await here.press(ticket, "allow"))[0] == 409  # found, and stopped by what every decision goes through
        assert not second.done()
        play.end()


async def test_a_device_that_is_not_looked_at_again_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path, notify_details=True) as here:
        browser = Browser()
        token, invite_id = here.enrol()
        await here.subscribe(token, browser)
        _, play = await here.play()
        answer = play.ask("make test")
        ticket = (await here.service.call(browser))["answers"]["allow"]
        monkeypatch.setattr(here.screen.tickets, "forget", lambda ended: None)
        monkeypatch.setattr(here.server.access.authenticator, "still_good", lambda credential: True)
        here.server.revoke(invite_id)
        assert (await here.press(ticket, "allow"))[0] == 200
        assert (await answered(answer)).kind == "allow"  # what a revoked device must not do
        play.end()


async def test_with_its_kind_not_looked_at_a_ticket_still_says_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as here:
        browser = Browser()
        await here.subscribe(here.enrol()[0], browser)
        _, play = await here.play()
        answer = play.ask("x")
        ticket = (await here.service.call(browser))["answers"]["deny"]
        monkeypatch.setattr("myagent.access.decision_tickets.secrets.compare_digest", lambda one, other: True)
        assert await here.press(ticket, "allow") == (200, "deny")
        assert (await answered(answer)).kind == "deny"
        play.end()
