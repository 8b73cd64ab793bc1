"""What comes in is a message or a refusal, whatever the bytes; and a refusal never says what was in them."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from myagent.core.codec import decode, encode
from myagent.core.messages import (
    ClientInfo,
    ClientMessage,
    DecisionBody,
    Hello,
    PermissionDecision,
    Ping,
    Resume,
    UserMessage,
)
from myagent.core.refusals import BadJson, BadMessage, Refused, UnknownType

SECRET = "s3cr3t-in-the-input"

# One whole message of each type, every field filled.
WHOLE: dict[str, dict[str, Any]] = {
    "user_message": {
        "prompt": "help",
        "sessionId": "s",
        "permissionMode": "plan",
        "skillNames": ["a", "b"],
        "options": {"model": "m", "fast": True},
        "content": [
            {"type": "text", "text": "t"},
            {"type": "image", "digest": "a" * 64, "name": "n"},
            {"type": "file", "digest": "b" * 64, "name": "n"},
            {"type": "link", "path": "p"},
        ],
    },
    "upload": {"digest": "a" * 64, "size": 4, "offset": 2, "data": "aGk="},
    "list_files": {"query": "q"},
    "permission_decision": {
        "permissionRequestId": "p",
        "decision": {
            "kind": "deny",
            "reason": "r",
            "optionId": "o",
            "digest": "d",
            "remember": {"scope": "session", "match": "prefix", "words": ["w"], "path": "p", "until": "u"},
        },
    },
    "resume": {"sessionId": "s", "afterSeq": 3},
    "ping": {},
    "hello": {"client": {"name": "n", "version": "v"}, "label": "l", "wants": ["updates"], "reclaimToken": "t"},
    "cancel": {"sessionId": "s", "turnId": "t"},
    "claim": {"force": True},
    "request_control": {},
    "release": {},
    "handover": {"to": "c"},
    "set_option": {"sessionId": "s", "name": "model", "value": "m"},
    "who": {},
    "open_session": {},
    "rename": {"sessionId": "s", "title": "t"},
    "archive": {"sessionId": "s", "archived": False},
    "delete": {"sessionId": "s"},
    "list_rules": {},
    "revoke_rule": {"ruleId": "r"},
    "list_changes": {},
    "read_change": {"file": "f"},
    "seen": {"permissionRequestId": "p"},
    "push_state": {},
    "push_on": {"endpoint": "https://push.example.org/x", "p256dh": "k", "auth": "a"},
    "push_off": {},
    "answer": {"questionId": "q", "action": "accept", "content": {"a": 1}},
}


def text_of(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "id": "m", **fields}).encode()


def refusal_of(text: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(text)
    return caught.value


# --- what is understood -------------------------------------------------------------------------------------------


def test_there_is_an_example_of_every_type() -> None:
    assert WHOLE.keys() == {kind.__struct_config__.tag for kind in get_args(ClientMessage)}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_message_is_read_and_written_alike(kind: str) -> None:
    message = decode(text_of(kind, **WHOLE[kind]))
    assert message.__struct_config__.tag == kind
    assert json.loads(encode(message)) | {"type": kind} == {"type": kind, "id": "m", **WHOLE[kind]}


@pytest.mark.parametrize("kind", WHOLE)
def test_fields_that_are_not_known_are_ignored(kind: str) -> None:
    fields = json.loads(json.dumps(WHOLE[kind]))
    for part in (fields, *(fields[name] for name in fields.keys() - NAMED_BY_OTHERS if isinstance(fields[name], dict))):
        part["fromTheFuture"] = {"deep": [1, None, "x"]}
    assert decode(text_of(kind, **fields)) == decode(text_of(kind, **WHOLE[kind]))


@pytest.mark.parametrize("names", [["x"] * 65, ["x" * 129]], ids=["too many", "too long"])
def test_names_of_skills_are_bounded(names: list[str]) -> None:
    assert decode(text_of("user_message", prompt="p", skillNames=["x" * 128] * 64))
    assert refusal_of(text_of("user_message", prompt="p", skillNames=names)).code == "bad_message"


def test_v1_messages_need_no_more_than_v1_has() -> None:
    assert decode(text_of("user_message", prompt="p")) == UserMessage(id="m", prompt="p")
    assert decode(text_of("resume", sessionId="s")) == Resume(id="m", session_id="s")  # type: ignore[arg-type]
    assert decode(text_of("ping")) == Ping(id="m")
    decision = decode(text_of("permission_decision", permissionRequestId="p", decision={"kind": "allow"}))
    assert decision == PermissionDecision(id="m", permission_request_id="p", decision=DecisionBody("allow"))


def test_null_stands_for_an_optional_field_that_is_absent() -> None:
    assert decode(text_of("user_message", prompt="p", sessionId=None)) == UserMessage(id="m", prompt="p")


# --- what is no JSON object ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"ping"',
        b"7",
        b"{",
        b'{"type":"ping","id":"m"} {}',
        b'{"type":"ping","id":"m",}',
        b"{'type':'ping','id':'m'}",
        b'{"type":"ping","id":"m","x":NaN}',
        b'{"type":"ping","id":"m","x":Infinity}',
        b'{"type":"ping","id":"m","x":-Infinity}',
        b'{"type":"ping","id":"m","x":1e999}',
        b'{"type":"ping","id":"m","x":01}',
        b'{"type":"ping","id":"m","x":%b}' % (b"9" * 5000),
        b'{"type":"ping","id":"m","x":-%b}' % (b"9" * 5000),
        b'{"type":"ping","id":"\\ud800"}',
        b'{"type":"ping","id":"\\udc00\\ud800"}',
        b'{"type":"ping","id":"m","\\ud800":1}',
        b'{"type":"ping","id":"\xed\xa0\x80"}',
        b'{"type":"ping","id":"\xff"}',
        b'{"type":"ping","id":"\xc0\xaf"}',
        b'{"type":"ping","id":"m\n"}',
        b'\xef\xbb\xbf{"type":"ping","id":"m"}',
        '{"type":"ping","id":"m"}'.encode("utf-16"),
        '{"type":"ping","id":"m"}'.encode("utf-32-le"),
        b'{"type":"ping","id":"m","x":%b%b}' % (b"[" * 100_000, b"]" * 100_000),
        b'{"type":"ping","id":"m","x":%b1%b}' % (b'{"a":' * 100_000, b"}" * 100_000),
        b"[" * 1_000_000,
    ],
    ids=lambda text: repr(text[:40]),
)
def test_bad_json(text: bytes) -> None:
    assert refusal_of(text).code == "bad_json"


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"ping","id":"m","id":"m"}',
        b'{"type":"ping","type":"claim","id":"m"}',
        b'{"type":"ping","id":"m","\\u0069d":"n"}',
        b'{"type":"ping","id":"m","ignored":{"a":1,"a":1}}',
        b'{"type":"ping","id":"m","ignored":[0,[{"":[{"k":1,"x":2,"k":3}]}]]}',
        b'{"type":"permission_decision","id":"m","permissionRequestId":"p","decision":{"kind":"deny","kind":"allow"}}',
    ],
)
def test_a_key_that_occurs_twice_is_refused_at_any_depth(text: bytes) -> None:
    assert str(refusal_of(text)) == "not a JSON object that can be read: a key occurs twice in one object"


def test_the_same_key_in_different_objects_is_no_duplicate() -> None:
    assert decode(text_of("ping", a={"id": 1, "type": {"id": 2}}, b=[{"id": 1}, {"id": 1}])) == Ping(id="m")


# --- what is no message -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["", "Ping", "ping ", "ready", "prompt", "user_message\x00", "🙂", SECRET])
def test_an_unknown_type_is_answered_with_its_id(kind: str) -> None:
    refusal = refusal_of(text_of(kind))
    assert isinstance(refusal, UnknownType)
    assert refusal.message_id == "m"


@pytest.mark.parametrize("kind", [None, 1, True, ["ping"], {"ping": 1}, 1.5])
def test_a_type_that_is_no_string_is_a_bad_message(kind: Any) -> None:
    assert refusal_of(json.dumps({"type": kind, "id": "m"}).encode()).code == "bad_message"


def test_an_object_without_a_type_is_a_bad_message() -> None:
    assert refusal_of(b"{}").code == "bad_message"


@pytest.mark.parametrize("good", ["m", "m" * 128, "é" * 128, "🙂" * 128, " ", "\u00a0", "\u2028", '"\\'])
def test_good_ids(good: str) -> None:
    assert decode(text_of("ping", id=good)).id == good


@pytest.mark.parametrize(
    "bad", ["", "m" * 129, "a\nb", "m\n", "\x00", "\x1f", "\x7f", "\x80", "\x9f", 7, None, True, ["m"], {}, 1.0]
)
def test_bad_ids_are_refused_and_not_told_back(bad: Any) -> None:
    refusal = refusal_of(text_of("ping", id=bad))
    assert isinstance(refusal, BadMessage)
    assert refusal.message_id is None


NAMED_BY_OTHERS = {"content", "options"}  # what is in them has the names of a form, or of the agent's options


@pytest.mark.parametrize("kind", WHOLE)
def test_every_field_is_held_to_its_type(kind: str) -> None:
    """Put what no field takes in the place of each, at the top and inside."""
    for name, value in WHOLE[kind].items():
        values: tuple[Any, ...] = (1.5, 0 if isinstance(value, bool) else True, [[]], {"x": []})
        if (kind, name) == ("set_option", "value"):  # a text, or a switch
            values = (1.5, None, [[]], {"x": []})
        for wrong in values[:-1] if name == "content" else values:  # the form says what is in it
            assert refusal_of(text_of(kind, **{**WHOLE[kind], name: wrong})).code == "bad_message"
        for inner in value if isinstance(value, dict) and name not in NAMED_BY_OTHERS else ():
            body = {**WHOLE[kind], name: {**value, inner: [7]}}
            refusal = refusal_of(text_of(kind, **body))
            assert isinstance(refusal, BadMessage)
            assert str(refusal) == f"field `{name}.{inner}` is not what the protocol says"
            assert refusal.message_id == "m"


@pytest.mark.parametrize("kind", WHOLE)
def test_required_fields_are_required(kind: str) -> None:
    required = {field.encode_name for field in msgspec.structs.fields(_KINDS[kind]) if field.required} - {"id"}
    for name in required:
        fields = {key: value for key, value in WHOLE[kind].items() if key != name}
        assert refusal_of(text_of(kind, **fields)).code == "bad_message"
    bare = {"ping", "claim", "request_control", "release", "who", "open_session", "push_state", "push_off"}
    bare |= {"list_rules", "list_changes", "list_files"}
    assert required or kind in bare


_KINDS = {kind.__struct_config__.tag: kind for kind in get_args(ClientMessage)}


@pytest.mark.parametrize(
    "number", ["-1", "1.0", "1.5", "1e3", "-0.0", "9007199254740992", "18446744073709551616", '"3"']
)
def test_after_seq_is_a_whole_number_that_every_client_can_write(number: str) -> None:
    text = b'{"type":"resume","id":"m","sessionId":"s","afterSeq":%b}' % number.encode()
    assert str(refusal_of(text)) == "field `afterSeq` is not what the protocol says"


@pytest.mark.parametrize(
    ("kind", "path", "limit"),
    [
        ("permission_decision", "permissionRequestId", 128),
        ("permission_decision", "decision.reason", 4096),
        ("permission_decision", "decision.optionId", 256),
        ("permission_decision", "decision.digest", 128),
        ("hello", "label", 128),
        ("hello", "client.name", 128),
        ("hello", "client.version", 128),
        ("hello", "reclaimToken", 256),
        ("handover", "to", 128),
        ("set_option", "name", 256),
        ("set_option", "value", 1024),
        ("cancel", "turnId", 128),
        ("revoke_rule", "ruleId", 128),
        ("seen", "permissionRequestId", 128),
        ("push_on", "endpoint", 1024),
        ("push_on", "p256dh", 128),
        ("push_on", "auth", 64),
    ],
)
def test_text_has_its_limit(kind: str, path: str, limit: int) -> None:
    for length in (limit, limit + 1):
        fields = json.loads(json.dumps(WHOLE[kind]))
        *outer, name = path.split(".")
        part = fields[outer[0]] if outer else fields
        part[name] = "x" * length
        if length == limit:
            decode(text_of(kind, **fields))
        else:
            assert refusal_of(text_of(kind, **fields)).code == "bad_message"


# --- never anything else, and never the input ---------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
field_names = sorted({"type", "id", *(name for fields in WHOLE.values() for name in fields)})
messages_gone_wrong = st.builds(
    lambda kind, change: {"type": kind, "id": "m", **WHOLE[kind], **change},
    st.sampled_from(sorted(WHOLE)),
    st.dictionaries(st.sampled_from(field_names) | st.text(max_size=5), json_values, max_size=3),
)


def only_refuses(text: bytes) -> None:
    """Read it; let `Refused` pass and nothing else."""
    try:
        message = decode(text)
    except Refused as refusal:
        code, sentence = refusal.code, str(refusal)
    else:
        assert 1 <= len(message.id) <= 128
        assert decode(encode(message)) == message
        return
    assert code in {"bad_json", "bad_message", "unknown_type"}
    assert sentence


@given(st.binary(max_size=200))
@example(b"\x00")
@example(b'{"type":"ping","id":"m"}\x00')
def test_any_bytes(text: bytes) -> None:
    only_refuses(text)


@given(json_values)
def test_any_json(value: Any) -> None:
    only_refuses(json.dumps(value).encode())  # writes NaN and lone surrogates, too


@given(messages_gone_wrong)
def test_any_message_gone_wrong(fields: dict[str, Any]) -> None:
    only_refuses(json.dumps(fields).encode())


@given(messages_gone_wrong, st.data())
def test_any_message_cut_and_stirred(fields: dict[str, Any], data: st.DataObject) -> None:
    text = bytearray(json.dumps(fields).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    only_refuses(bytes(text))


@pytest.mark.parametrize("depth", [10, 500, 900, 990, 1000, 1010, 2000, 50_000])
@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_any_depth(depth: int, start: bytes, end: bytes) -> None:
    only_refuses(b'{"type":"ping","id":"m","x":%b1%b}' % (start * depth, end * depth))
    only_refuses(b'{"type":"ping","id":"m","x":%b1%b' % (start * depth, end * (depth - 1)))
    only_refuses(b'{"type":"hello","id":"m","client":%b1%b}' % (start * depth, end * depth))


@pytest.mark.parametrize(
    "text",
    [
        text_of(SECRET),
        text_of("ping", id=SECRET + "\n"),
        text_of("user_message", prompt=[SECRET]),
        text_of("user_message", prompt="p", permissionMode=SECRET),
        text_of("user_message", prompt="p", permissionMode=f"{SECRET} - at `$.{SECRET}"),
        text_of("permission_decision", permissionRequestId="p", decision={"kind": SECRET}),
        text_of("permission_decision", permissionRequestId="p", decision={"kind": f"x - at `$.{SECRET}`"}),
        text_of("permission_decision", permissionRequestId="p", decision={SECRET: 1}),
        text_of("hello", client={"name": [SECRET]}, wants=[SECRET, 7]),
        text_of("hello", client={SECRET: SECRET}),
        text_of("resume", sessionId="s", afterSeq=SECRET),
        b'{"type":"%b","id":"%b"' % (SECRET.encode(), SECRET.encode()),
        b'{"%b":1,"%b":2}' % (SECRET.encode(), SECRET.encode()),
        b'{"type":"ping","id":"m",%b}' % SECRET.encode(),
    ],
)
def test_a_refusal_never_repeats_the_input(text: bytes) -> None:
    refusal = refusal_of(text)
    assert SECRET not in str(refusal)
    assert SECRET not in repr(refusal)
    assert refusal.__suppress_context__ or refusal.__context__ is None  # nor does its traceback in a log


def test_bad_json_is_told_apart_from_bad_messages() -> None:
    assert isinstance(refusal_of(b"nope"), BadJson)
    assert not isinstance(refusal_of(b"{}"), BadJson)


def test_hello_is_read_with_all_it_may_say() -> None:
    assert decode(text_of("hello", **WHOLE["hello"])) == Hello(
        id="m", client=ClientInfo("n", "v"), label="l", wants=("updates",), reclaim_token="t"
    )
