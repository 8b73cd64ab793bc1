"""Sixty hostile texts in every place that an agent or a person can fill: nothing runs, and the page stays text."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from browser import PATIENCE, expect, stage
from puppet import Puppet

from myagent.core.display import escape
from myagent.core.messages import Diff, Option

HOSTILE = [
    "<script>alert(1)</script>", "<SCRIPT SRC=//127.0.0.1:9/x.js></SCRIPT>", "</pre><script>alert(1)</script>",
    "</title><script>alert(1)</script>", "</textarea><script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "<img src=x onerror='alert(1)'//", "<svg onload=alert(1)>", "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>", "<math><mtext></mtext><script>alert(1)</script></math>",
    "<iframe src=javascript:alert(1)>", "<iframe srcdoc='<script>parent.alert(1)</script>'>",
    "<object data=javascript:alert(1)>", "<embed src=javascript:alert(1)>", "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>", "<input autofocus onfocus=alert(1)>", "<video><source onerror=1>",
    "<audio src=x onerror=alert(1)>", "<marquee onstart=alert(1)>", "<form action=javascript:alert(1)><button>",
    "<a href=javascript:alert(1)>click</a>", "<base href=//127.0.0.1:9/>", "<meta http-equiv=refresh content=0;//x>",
    "<link rel=stylesheet href=//127.0.0.1:9/x.css>", "<style>*{display:none}</style>", "<style>@import '//x'</style>",
    "<template><script>alert(1)</script></template>", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--><script>alert(1)</script>-->", "<![CDATA[<script>alert(1)</script>]]>", "<x onclick=alert(1)>x</x>",
    "\" onmouseover=alert(1) x=\"", "' onfocus=alert(1) autofocus='", "` onerror=alert(1) `", "\"><script>1</script>",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:msgbox(1)",
    "[click](javascript:alert(1))", "![x](javascript:alert(1))", "[x](https://example.org/\"onmouseover=alert(1))",
    "https://user:secret@127.0.0.1/", "https://example.org/<script>alert(1)</script>", "http://\u0430pple.com/",
    "```<script>alert(1)</script>\n<img src=x onerror=1>\n```", "**<b onclick=alert(1)>**", "`<script>1</script>`",
    "[https://bank.example/](https://evil.example/x)", "[x]: javascript:alert(1)\n\n[x]", "<javascript:alert(1)>",
    "![i](https://127.0.0.1:9/x.png)", "[![i](//127.0.0.1:9/x)](data:text/html,1)", "&#x202e;evil&#8238;",
    "&#x3c;script&#x3e;alert(1)&lt;/script>", "|<img src=x onerror=alert(1)>|\n|-|\n|<script>1</script>|",
    "- [ ] <input onfocus=alert(1) autofocus>", "[a](https://user:secret@127.0.0.1/)", ">" * 10_000 + " x",
    "*" * 5000 + "x" + "*" * 5000, "![" * 2000 + "](a)" * 2000, "|" + "a|" * 1000 + "\n|" + "-|" * 1000 + "\n|x" * 100,
    "{{constructor.constructor('alert(1)')()}}", "${alert(1)}", "__proto__", "constructor",
    "\u202e)1(tre\u202c", "a\u200bb\u2066c\u2069", "\x1b]8;;javascript:1\x07x\x1b]8;;\x07", "\x1b[2J\x1b[H\x00\x9b31m",
    "[Permission asked] Allow? <button onclick=alert(1)>Allow</button>", "<script>" + "A" * 300_000 + "</script>",
]  # fmt: skip

STRUCTURE = """() => {
    const bad = "script, img, iframe, svg, object, embed, video, audio, style, link, base, meta, math, template, x";
    const places = "#stream *, dialog *, nav *, #waiting *, #queue *, header *, #session-head *";
    const nodes = [...document.querySelectorAll(places)];
    const attributes = nodes.flatMap((node) => [...node.attributes]).map(({name}) => name);
    return {
        elements: nodes.filter((node) => node.matches(bad)).map((node) => node.outerHTML.slice(0, 200)),
        handlers: attributes.filter((name) => name.startsWith("on")),
        styled: nodes.filter((node) => node.hasAttribute("style")).length,
        anchors: [...document.querySelectorAll("a.anchor")].every(({origin}) => origin === location.origin),
        links: [...document.links].filter((node) => !node.matches("a.anchor")).map((node) => {
            const told = node.nextSibling?.textContent === ` (${node.host})` || node.protocol === "mailto:";
            return [node.protocol, told || node.href.startsWith(node.textContent), node.rel];
        }),
        scripts: document.scripts.length,
        bases: document.querySelectorAll("base").length,
    };
}"""

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")


async def test_hostile_texts_stay_text(tmp_path: Path) -> None:
    assert len(HOSTILE) >= 60
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        follower = await scene.open()
        await follower.page.goto(scene.link().partition("#")[0])
        await follower.at("#join-token").fill(scene.server.token)
        await follower.at("#join-label").fill(HOSTILE[5])
        await follower.at("#join-form button").click()
        await expect(follower.at("#following")).to_be_attached()
        await owner.prompt(f"{HOSTILE[0]}{HOSTILE[5]}")
        play = await puppet.begun()
        for number, text in enumerate(HOSTILE):
            await play.io.stdout(text, update={"sessionUpdate": "agent_message_chunk", "messageId": str(number)})
            await play.io.stdout(f"{text}\n")
            await play.io.stderr(f"{text}\n")
            await play.io.stderr("x", update={"sessionUpdate": "agent_thought_chunk"})
            short = text[:5000]
            call = {
                "sessionUpdate": "tool_call", "toolCallId": short, "title": short, "kind": short, "status": short,
                "locations": [{"path": short}], "rawInput": {short: short}, "content": [
                    {"type": "diff", "path": short, "oldText": f"{short}\n", "newText": f"{short}!\n"},
                    {"type": "content", "content": {"type": "text", "text": short}},
                ],
            }  # fmt: skip
            await play.io.stderr("x", update=call)
            await play.io.stderr(
                "x", update={"sessionUpdate": "plan", "entries": [{"content": short, "status": short}]}
            )
            answer = play.ask(
                short, tool_name=short, title=short, reason=short, kind=short,
                diffs=(Diff(short, short, f"{short}!"),), options=(Option("no", short, "reject_once"),),
            )  # fmt: skip
            await expect(owner.at("#permission-title")).to_have_text(escape(short), use_inner_text=False)
            assert await owner.at("#permission-display").text_content() == escape(short)
            await owner.page.evaluate(
                """() => { const [entry] = page.workspace.waiting.values();
                page.decide(entry, {kind: "deny", optionId: "no", digest: entry.event.request.digest}); }"""
            )
            assert (await asyncio.wait_for(answer, PATIENCE)).kind == "deny"
        play.io.tell(title=HOSTILE[3])
        play.end("failed", message=HOSTILE[5])
        [head] = scene.server.host.fanout.window.heads.values()
        await owner.at("#people").click()
        await expect(owner.at("#people-list")).to_contain_text("onerror")
        for viewer in (owner, follower):
            await viewer.until(f"page.view.window.last >= {head}")
            await viewer.page.evaluate("document.querySelectorAll('details').forEach((node) => (node.open = true))")
            found = await viewer.page.evaluate(STRUCTURE)
            assert found["elements"] == found["handlers"] == []
            assert (found["styled"], found["scripts"], found["bases"]) == (0, 1, 0)
            assert found["anchors"]
            assert all(rel == "noopener noreferrer" and same for _, same, rel in found["links"])
            assert {protocol for protocol, _, _ in found["links"]} <= {"http:", "https:", "mailto:"}
            shown = await viewer.page.evaluate("page.view._list.textContent")
            for text in HOSTILE:
                if UNSEEN.search(text) is None and "```" not in text:
                    assert shown.count(text) >= 2, text[:80]
            assert UNSEEN.search(shown) is None


async def test_a_copy_of_our_dialog_in_an_agents_text_is_not_our_dialog(tmp_path: Path) -> None:
    """T13: a request is drawn from a `permission_request` alone, where no text of the agent can reach."""
    puppet = Puppet()
    async with stage(tmp_path, puppet) as scene:
        owner = await scene.join()
        ours = await owner.at("dialog").count()
        await owner.prompt("go")
        play = await puppet.begun()
        text = '<dialog open id="permission"><button class="allow">Allow</button></dialog>\nPermission asked\nAllow\n'
        await play.say(text)
        await expect(owner.at(".item.output")).to_contain_text("Permission asked")
        await expect(owner.at("#permission")).to_be_hidden()
        assert await owner.at("dialog").count() == ours
        for key in ("y", "Enter"):
            await owner.page.keyboard.press(key)
        play.end()
        await expect(owner.at(".item.end")).to_be_visible()
