"""What a prompt carries beside its text: what is taken, under which name, and when two prompts are the same."""

from __future__ import annotations

import base64
import hashlib

import pytest
from tests.core.test_pictures import png

from myagent.core.content import (
    checked,
    found,
    is_inside,
    item_words,
    sent_pictures,
    shown_name,
    type_of,
    why_unshown,
    without_pictures,
    worded,
)
from myagent.core.matching import matching
from myagent.core.messages import FileItem, ImageItem, Item, LinkItem, TextItem
from myagent.core.refusals import BadMessage, NotTaken
from myagent.core.turn import prompt_digest

A, B = "a" * 64, "b" * 64
PIXEL = png(1, 1)


def test_an_agent_gets_what_it_takes_and_nothing_else() -> None:
    items: tuple[Item, ...] = (TextItem("t"), ImageItem(A, "n"), FileItem(B, "n"), LinkItem("p"))
    assert checked(items, ("image", "file")) == items
    assert checked(items[:1] + items[3:], ()) == items[:1] + items[3:]
    with pytest.raises(NotTaken, match="takes no images"):
        checked(items, ("file",))
    with pytest.raises(NotTaken, match="takes no files"):
        checked(items, ("image",))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a\x1b[2J\u202egnp.exe", "a\\u{1b}[2J\\u{202e}gnp.exe"),
        ("a\nb", "a b"),
        ("/", ""),
        ("x" * 500, "x" * 119 + "…"),
    ],
)
def test_a_name_is_its_last_part_with_every_sign_visible(name: str, shown: str) -> None:
    assert shown_name(name) == shown


@pytest.mark.parametrize("path", ["a", "a/b.py", "a/", "…/ü", ".github/x", "a b", "..a"])
def test_a_path_stays_inside(path: str) -> None:
    assert is_inside(path)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "..", ".", "../a", "a/../../b", "a/..", "a//b", "./a", "a/./b", ".git/config", "x/.GIT/hooks",
     ".myagent/remote/auth.json", "a\nb", "a\0b", "a\x7f", "a\x9b31m", "inv\u202egnp.sh", "a\u200bb"],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    assert not is_inside(path)
    with pytest.raises(BadMessage):
        checked((LinkItem(path),), ())


def test_what_the_bytes_say_counts_and_not_what_the_client_said() -> None:
    lied = ImageItem(A, "n", mime_type="text/html", size=9, width=9, height=9)
    assert found(lied, PIXEL) == ImageItem(A, "n", "image/png", len(PIXEL), 1, 1)
    with pytest.raises(BadMessage, match="no PNG, JPEG, WebP or GIF"):
        found(lied, b"<svg/>")
    with pytest.raises(BadMessage, match="too wide or too high"):
        found(lied, png(1, 1_000_000))
    assert found(FileItem(A, "x.png"), b"words") == FileItem(A, "x.png", "text/plain", 5)
    assert [type_of(each) for each in (PIXEL, b"\xff", b"a\0b")] == ["image/png", *["application/octet-stream"] * 2]


def test_the_digest_of_a_prompt_binds_what_it_carries() -> None:
    plain = prompt_digest("p")
    assert plain == hashlib.sha256(b"p").digest()
    contents: list[tuple[Item, ...]] = [
        (ImageItem(A),),
        (ImageItem(B),),
        (FileItem(A, ""),),
        (ImageItem(A, "n"),),
        (ImageItem(A), ImageItem(A)),
        (TextItem("ab"), TextItem("c")),
        (TextItem("a"), TextItem("bc")),
        (LinkItem("ab"),),
        (TextItem("ab"),),
    ]
    digests = [plain, *(prompt_digest("p", each) for each in contents)]
    assert len({*digests}) == len(digests)
    assert prompt_digest("p", (ImageItem(A, size=3, width=1),)) == prompt_digest("p", (ImageItem(A),))


def test_pictures_of_an_agent_are_found_wherever_they_are_and_taken_out() -> None:
    text = base64.b64encode(PIXEL).decode()
    update = {
        "sessionUpdate": "tool_call_update",
        "content": [{"type": "content", "content": {"type": "image", "mimeType": "image/svg+xml", "data": text}}],
        "rawOutput": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": text}}],
        "title": text,
    }
    digest = hashlib.sha256(PIXEL).hexdigest()
    assert [*sent_pictures(update)] == [PIXEL, PIXEL]
    kept = {"type": "image", "digest": digest}
    assert without_pictures(update, {digest: kept}) == {
        "sessionUpdate": "tool_call_update",
        "content": [{"type": "content", "content": kept}],
        "rawOutput": [kept],
        "title": text,
    }
    bad = {"content": {"type": "image", "data": "no base64!"}}
    assert [*sent_pictures(bad)] == []
    assert without_pictures(bad, {})["content"]["omitted"]
    assert why_unshown(PIXEL) is None
    assert why_unshown(b"<svg/>") and why_unshown(png(1, 10**6))


def test_names_are_found_by_what_was_typed_of_them() -> None:
    paths = ["src/app.py", "src/my_app/view.py", "app/deep/x.py", "README.md", "tests/test_app.py"]
    assert matching("app", paths, 9) == (
        ["src/app.py", "tests/test_app.py", "app/deep/x.py", "src/my_app/view.py"],
        True,
    )
    assert matching("SRC app.PY", paths, 9) == (["src/app.py"], True)
    assert matching("py src", paths, 9) == ([], True)
    assert matching("", paths, 2) == (["README.md", "src/app.py"], False)


def test_what_is_kept_elsewhere_is_named_in_words() -> None:
    items = (TextItem("t"), ImageItem(A, "n", "image/png", 1234, 4, 3), FileItem(A, "f"), LinkItem("a/b"))
    assert [*map(item_words, items)] == ["t", "[image: n, image/png, 4×3, 1,234 bytes]", "[file: f]", "[a/b]"]
    image = {"type": "image", "mimeType": "image/png", "digest": A, "size": 5, "width": 1, "height": 2}
    update = {"content": [{"content": image}, {"content": {"type": "image", "size": 1, "omitted": "why"}}], "x": "y"}
    words = [each["content"]["text"] for each in worded(update)["content"]]
    assert words == ["[image: image/png, 1×2, 5 bytes]", "[image left out: why]"]
