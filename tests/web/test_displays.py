"""What a human approves is what a human sees: the dialog's text read off the screen, for a hundred generated diffs."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from browser import PATIENCE, Viewer, expect, stage
from puppet import Play, Puppet

from myagent.core.display import escape
from myagent.core.messages import Diff
from myagent.text.wording import diff_lines

DIFFS = 100
WORDS = [
    "if",
    "return",
    "x",
    "value[0]",
    "==",
    "{",
    "}",
    "#",
    "--flag",
    "+1",
    "-2",
    "@@",
    "print('a  b')",
    "\\u{41}",
    "é",
]

# Where each character is drawn tells its row and column; from them the text is read as somebody in front of it would.
READ = """() => {
    const display = document.getElementById("permission-display");
    const height = parseFloat(getComputedStyle(display).lineHeight);
    const range = new Range();
    const seen = [];
    const walker = document.createTreeWalker(display, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const {data} = walker.currentNode;
        for (let at = 0; at < data.length; at += 1) {
            if (/\\s/.test(data[at])) continue;
            range.setStart(walker.currentNode, at);
            range.setEnd(walker.currentNode, at + 1);
            const {left, top, width} = range.getBoundingClientRect();
            seen.push({character: data[at], left, top, width});
        }
    }
    const box = display.getBoundingClientRect();
    const {paddingLeft, borderLeftWidth} = getComputedStyle(display);
    const start = box.left + parseFloat(paddingLeft) + parseFloat(borderLeftWidth) - display.scrollLeft;
    const first = Math.min(...seen.map(({top}) => top));
    const rows = [];
    for (const {character, left, top, width} of seen) {
        const row = Math.round((top - first) / height);
        while (rows.length <= row) rows.push([]);
        rows[row][Math.round((left - start) / width)] = character;
    }
    return rows.map((row) => Array.from(row, (character) => character ?? " ").join(""));
}"""


def line(chance: random.Random) -> str:
    words = " ".join(chance.choice(WORDS) for _ in range(chance.randint(0, 5)))
    return " " * chance.choice([0, 0, 1, 2, 3, 4, 8, 12, 17]) + words + chance.choice(["", "", "  ", "\t", "\r"])


def generated(seed: int) -> Diff:
    chance = random.Random(seed)
    before = [line(chance) for _ in range(chance.randint(0, 14))]
    after = list(before)
    for _ in range(chance.randint(1, 5)):
        at = chance.randint(0, len(after))
        after[at : at + chance.randint(0, 2)] = [line(chance) for _ in range(chance.randint(0, 3))]
    after.append(f"    last {seed}")
    return Diff(f"src/file{seed}.py", "\n".join([*before, ""]) if before else None, "\n".join([*after, ""]))


async def shown(owner: Viewer, play: Play, change: Diff) -> tuple[list[str], list[str]]:
    """Ask for leave to make a change: the lines of what is to be decided on, and the lines that are seen."""
    text = "\n".join(diff_lines(change))
    display = escape(text)  # as the host makes it of what is asked
    answer = play.ask(text, diffs=(change,))
    await owner.until(f"page.dialog._entry?.event.request.display.includes({change.path!r})")
    assert await owner.at("#permission-display").text_content() == display
    seen = await owner.page.evaluate(READ)
    await owner.page.evaluate(
        "() => page.decide(page.dialog._entry, {kind: 'deny', digest: page.dialog._entry.event.request.digest})"
    )
    await asyncio.wait_for(answer, PATIENCE)
    await expect(owner.at("#permission")).to_be_hidden()
    return [text.rstrip() for text in display.split("\n")], seen


async def test_a_hundred_diffs_are_seen_as_they_are(tmp_path: Path) -> None:
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join(viewport={"width": 1000, "height": 900})
        await owner.prompt("go")
        play = await puppet.begun()
        for seed in range(DIFFS):
            wanted, seen = await shown(owner, play, generated(seed))
            while wanted[-1] == "":
                wanted.pop()
            assert seen == wanted, seed
        # The control: laid out as it was once, unchanged lines lose the spaces that they begin with.
        await owner.page.evaluate(
            """() => { const [sheet] = document.styleSheets;
            const add = (rule) => sheet.insertRule(`#permission ${rule}`, sheet.cssRules.length);
            add(".line { display: inline-block !important; min-width: 100% }");
            add(".line.same { display: inline !important }"); }"""
        )
        wrong = [seen != wanted for wanted, seen in [await shown(owner, play, generated(seed)) for seed in range(12)]]
        assert any(wrong)
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()
