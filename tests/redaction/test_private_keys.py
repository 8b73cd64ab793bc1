"""No line of a private key passes, whatever cuts it and whatever stands around its lines; other text does."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import scene

from myagent.redaction.redactor import MASK, Redactor, Stream

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
KINDS = ["", "RSA ", "OPENSSH ", "PGP "]


def lines_of(kind: str, size: int, width: int = 64) -> list[str]:
    """What a key looks like; nobody's."""
    drawn = "".join(random.Random(f"{kind}{size}").choices(BASE64, k=size)) + "=="
    block = " BLOCK" if kind == "PGP " else ""
    body = [drawn[at : at + width] for at in range(0, len(drawn), width)]
    return [f"-----BEGIN {kind}PRIVATE KEY{block}-----", *body, f"-----END {kind}PRIVATE KEY{block}-----"]


def streamed(*pieces: str) -> str:
    stream = Stream(Redactor())
    return "".join([*(stream.feed(piece) for piece in pieces), stream.flush()])


def leaked(shown: str, lines: list[str]) -> list[str]:
    return [line for line in lines if line in shown]


def numbered(lines: list[str]) -> str:
    return "".join(f"{number:6}\t{line}\n" for number, line in enumerate(lines, 1))


WRITTEN = {
    "file": "\n".join,
    "windows": "\r\n".join,
    "escaped": lambda lines: json.dumps({"key": "\n".join(lines)}),
    "list": lambda lines: json.dumps(lines, indent=2),
    "numbered": numbered,
    "arrows": lambda lines: "".join(f"{number:5}→{line}\n" for number, line in enumerate(lines, 1)),
    "diff": lambda lines: "".join(f"+{line}\n" for line in lines),
    "quoted": lambda lines: "".join(f"> {line}\n" for line in lines),
    "one line": " ".join,
    "yaml": lambda lines: "key: |\n" + "".join(f"    {line}\n" for line in lines),
    "literals": lambda lines: " +\n".join(f'    "{line}\\n"' for line in lines),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_covered_however_it_is_written_and_cut(kind: str, written: str) -> None:
    lines = lines_of(kind, 300)
    text = "before\n" + WRITTEN[written](lines) + "\nafter it, everything is shown\n"
    shown = Redactor().text(text)
    assert MASK in shown and leaked(shown, lines) == []
    assert shown.startswith("before\n") and shown.endswith("\nafter it, everything is shown\n")
    for at in range(len(text) + 1):
        assert streamed(text[:at], text[at:]) == shown
    assert streamed(*text) == shown


def test_an_encrypted_key_with_headers_is_covered() -> None:
    begin, *rest = lines_of("RSA ", 700)
    headers = ["Proc-Type: 4,ENCRYPTED", f"DEK-Info: AES-256-CBC,{'0123456789ABCDEF' * 2}", ""]
    text = "\n".join(["x", begin, *headers, *rest, "y"])
    assert Redactor().text(text) == f"x\n{MASK}\ny" == streamed(*text)


def test_several_keys_and_a_key_without_an_end() -> None:
    one, other = lines_of("", 128), lines_of("EC ", 90)
    assert Redactor().text("\n".join([*one, *other, "end"])) == f"{MASK}\n{MASK}\nend"
    head = "\n".join(lines_of("RSA ", 2000)[:10])  # as `head` shows it
    assert Redactor().text(f"{head}\ndone\n") == f"{MASK}\ndone\n" == streamed(*f"{head}\ndone\n")


def test_nothing_of_a_key_is_shown_before_its_end_has_come() -> None:
    stream = Stream(Redactor())
    lines = lines_of("", 500)
    shown = "".join(map(stream.feed, "\n".join(lines)))
    assert shown == MASK


@pytest.mark.parametrize(
    "text",
    [
        "-----\n", "----- BEGIN -----\n", "-----BEGIN CERTIFICATE-----\nMIIB\n", "a\n---\ntitle: x\n---\n",
        f"-----BEGIN PUBLIC KEY-----\n{'A' * 64}\n-----END PUBLIC KEY-----\n", f"{'A' * 64}\n" * 30,
    ],
)  # fmt: skip
def test_what_is_no_private_key_is_shown_at_once(text: str) -> None:
    assert Stream(Redactor()).feed(text) == text


def test_a_text_that_speaks_of_keys_goes_on() -> None:
    text = 'if line == "-----BEGIN PRIVATE KEY-----":\n    return parse_the_key(lines)\n# and so on\n'
    assert Redactor().text(text) == text.replace("-----BEGIN PRIVATE KEY-----", MASK) == streamed(*text)


def test_it_is_switched_off_with_the_known_forms() -> None:
    text = "\n".join(lines_of("", 200))
    assert Redactor(known=False).text(text) == text


def test_without_what_is_remembered_between_pieces_a_key_passes() -> None:
    """The negative control: covering each piece by itself leaks."""
    lines = lines_of("", 500)
    shown = "".join(Redactor().text(f"{line}\n") for line in lines)
    assert leaked(shown, lines[1:-1]) == lines[1:-1]


async def test_no_line_of_a_key_is_shown_or_stored_when_the_agent_prints_one(tmp_path: Path) -> None:
    lines = lines_of("OPENSSH ", 1500, 70)
    (tmp_path / "id").write_text("\n".join(lines) + "\n")
    async with scene(tmp_path) as here:
        owner = await here.join()
        follower = await here.join()
        await follower.send("hello", client={"name": "test", "version": "1"}, wants=["updates"])
        for prompt in ("read id", "grep . id", "!cat id", "!while read l; do echo $l; sleep 0.001; done < id"):
            assert (await here.turn(owner, prompt))["exitCode"] == 0
        await follower.settle()
        said = "".join(message["chunk"] for message in follower.of("agent_stdout"))
        assert said.count(MASK) == 4
        assert leaked(said + json.dumps(follower.messages), lines[1:-1]) == []
        await here.server.host.log.flush()
    for file in (path for path in (tmp_path / ".myagent" / "remote").rglob("*") if path.is_file()):
        assert leaked(file.read_bytes().decode("latin-1"), lines[1:-1]) == []


PARTS = st.sampled_from(
    [
        *(
            "-----BEGIN ",
            "PRIVATE KEY",
            "-----",
            "-----END ",
            "RSA ",
            "-----BEGIN PRIVATE KEY-----",
            " BLOCK",
            "-",
            "x",
        ),
        *("-----END RSA PRIVATE KEY-----", "A" * 64, "B" * 20, "C" * 19, "=", "\n", "\n" * 23, " " * 45, "é", "ghp_"),
        *("z" * 36, "-----BEGIN PGP PRIVATE KEY BLOCK-----", "." * 80),
    ]
)


@given(st.lists(PARTS, max_size=14), st.data())
def test_however_it_is_cut_the_same_is_shown(parts: list[str], data: st.DataObject) -> None:
    whole = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert streamed(*pieces) == Redactor().text(whole)
