// The page's Markdown against CommonMark's own examples, GFM's additions, and texts that were made to take long.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const web = new URL(`${process.env.MYAGENT_WEB}/`);
const load = (name) => import(new URL(name, web));
const { parseBlocks } = await load("parsing/blocks.js");
const { linked, parseInlines } = await load("parsing/inlines.js");
const { Markdown } = await load("parsing/markdown.js");

const GOAL = 0.97; // of the examples without HTML

const safe = (text) => text.replace(/[&<>"]/g, (each) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;" })[each]);
const uri = (to) => encodeURI(to).replace(/%25([0-9a-fA-F]{2})/g, "%$1").replaceAll("[", "%5B").replaceAll("]", "%5D");
const alt = ({ text, children = [], type }) => text ?? (type === "softbreak" ? "\n" : children.map(alt).join(""));

function inline(nodes) {
  return nodes.map(({ type, text, children, destination, title }) => {
    const called = title ? ` title="${safe(title)}"` : "";
    switch (type) {
      case "text": return safe(text);
      case "code": return `<code>${safe(text)}</code>`;
      case "softbreak": return "\n";
      case "hardbreak": return "<br />\n";
      case "emph": return `<em>${inline(children)}</em>`;
      case "strike": return `<del>${inline(children)}</del>`;
      case "link": return `<a href="${safe(uri(destination))}"${called}>${inline(children)}</a>`;
      case "image": return `<img src="${safe(uri(destination))}" alt="${safe(children.map(alt).join(""))}"${called} />`;
      default: return `<${type}>${inline(children)}</${type}>`;
    }
  }).join("");
}

/** HTML of a text, as CommonMark's examples write it: only here, to compare. */
function html(text) {
  const references = new Map();
  const tree = parseBlocks(text, references);
  const spans = (each) => inline(parseInlines(each, references));
  const block = (node, tight = false) => {
    switch (node.type) {
      case "paragraph": return tight ? spans(node.text) : `<p>${spans(node.text)}</p>\n`;
      case "heading": return `<h${node.level}>${spans(node.text)}</h${node.level}>\n`;
      case "rule": return "<hr />\n";
      case "code": {
        const [language] = node.info.split(/\s+/);
        return `<pre><code${language ? ` class="language-${safe(language)}"` : ""}>${safe(node.text)}</code></pre>\n`;
      }
      case "quote": return `<blockquote>\n${node.children.map((each) => block(each)).join("")}</blockquote>\n`;
      case "list": {
        const name = node.ordered ? "ol" : "ul";
        const first = node.ordered && node.first !== 1 ? ` start="${node.first}"` : "";
        return `<${name}${first}>\n${node.children.map((item) => block(item, node.tight)).join("")}</${name}>\n`;
      }
      case "item": {
        const parts = node.children.map((each) => ({ inline: tight && each.type === "paragraph", text: block(each, tight) }));
        let inside = "";
        parts.forEach((part, at) => {
          if (!part.inline && (at === 0 || parts[at - 1].inline)) inside += "\n";
          inside += part.text;
        });
        return `<li>${inside}</li>\n`;
      }
      case "table": {
        const cell = (name) => (text, at) => `<${name}${node.align[at] ? ` align="${node.align[at]}"` : ""}>${spans(text)}</${name}>`;
        const [head, ...rows] = node.rows;
        return `<table>${head.map(cell("th")).join("")}|${rows.map((row) => row.map(cell("td")).join("")).join("|")}</table>\n`;
      }
      default: return node.children.map((each) => block(each)).join("");
    }
  };
  return block(tree);
}

function usesHtml({ markdown, html: expected, section }) {
  if (section === "HTML blocks" || section === "Raw HTML") return true;
  const tags = markdown.match(/<\/?[A-Za-z][^<>]*>|<!--|<\?|<!/g) ?? [];
  return tags.some((tag) => !/^<[^\s>]+[:@][^\s>]*>$/.test(tag) && expected.includes(tag));
}

test("CommonMark's examples come out as they should", { skip: process.env.MYAGENT_COMMONMARK === undefined }, () => {
  const { tests } = createRequire(import.meta.url)(process.env.MYAGENT_COMMONMARK);
  const without = tests.filter((each) => !usesHtml(each));
  const same = ({ markdown, html: expected }) => html(markdown.replaceAll("→", "\t")) === expected.replaceAll("→", "\t");
  const failed = without.filter((each) => !same(each));
  const rate = 1 - failed.length / without.length;
  const told = failed.map(({ number, section, markdown }) => `${number} ${section}: ${JSON.stringify(markdown)}`);
  console.log(`commonmark: ${without.length - failed.length} of ${without.length} examples without HTML\n${told.join("\n")}`);
  assert.ok(without.length > 550);
  assert.ok(rate >= GOAL, told.join("\n"));
});

test("GFM's tables, task lists, strikethrough and addresses", () => {
  assert.equal(html("a | b\n:-|-:\n1 | `x\\|y`\n2 |\n\nafter"),
    '<table><th align="left">a</th><th align="right">b</th>|<td align="left">1</td><td align="right"><code>x|y</code></td>'
    + '|<td align="left">2</td><td align="right"></td></table>\n<p>after</p>\n');
  assert.equal(html("text\na | b\n- | -\n> quote"), "<p>text</p>\n<table><th>a</th><th>b</th>|</table>\n<blockquote>\n<p>quote</p>\n</blockquote>\n");
  const [list] = parseBlocks("- [ ] open\n- [x] done\n- [y] neither", new Map()).children;
  assert.deepEqual(list.children.map(({ task, children: [{ text }] }) => [task, text.trim()]), [[" ", "open"], ["x", "done"], [undefined, "[y] neither"]]);
  assert.equal(html("~~a~~ ~b~ ~~~c~~~ a~~b~c"), "<p><del>a</del> <del>b</del> ~~~c~~~ a~~b~c</p>\n");
  const links = (text) => linked(text).filter(({ type }) => type === "link").map(({ destination }) => destination);
  assert.deepEqual(links("see https://example.org/a_(b)), www.example.org. or me@example.org!"),
    ["https://example.org/a_(b)", "http://www.example.org", "mailto:me@example.org"]);
  assert.deepEqual(links("javascript:alert(1) xhttp://example.org file:///etc http:// www. a@b"), []);
  for (const text of ["see https://example.org/x.", "www.a.b", "no"]) {
    assert.equal(linked(text).map((each) => each.text ?? each.children[0].text).join(""), text);
  }
});

test("HTML is text", () => {
  assert.equal(html("<b>x</b>\n\n<script>\nalert(1)\n</script>"),
    "<p>&lt;b&gt;x&lt;/b&gt;</p>\n<p>&lt;script&gt;\nalert(1)\n&lt;/script&gt;</p>\n");
});

const SAMPLE = [
  "# Title", "", "Some *text* and [a link][ref], with", "more of it", "===", "", "- one", "  - two", "", "  still two", "- three", "",
  "> quoted", "lazily", "", "```py", "x = 1", "```", "", "| a | b |", "|---|---|", "| 1 | 2 |", "", "1) first", "2) second", "",
  "    indented", "", "[ref]: https://example.org/first", "[ref]: https://example.org/second", "", "end", "",
].join("\n");

test("a text that arrives in pieces comes out as the whole, and what is done is left alone", () => {
  const plain = (markdown) => JSON.stringify([markdown.blocks, [...markdown.references]], (key, value) => (["parent", "start", "open", "blankAfter"].includes(key) ? undefined : value));
  const whole = new Markdown();
  whole.update(SAMPLE);
  assert.deepEqual(whole.blocks.map(({ type }) => type), ["heading", "heading", "list", "quote", "code", "table", "list", "paragraph"]);
  assert.equal(whole.references.get("REF").destination, "https://example.org/first");
  for (const size of [1, 2, 3, 7, 50]) {
    const pieces = new Markdown();
    const seen = new Set();
    for (let at = 0; at < SAMPLE.length + size; at += size) {
      const before = pieces.blocks;
      pieces.update(SAMPLE.slice(0, at + size));
      before.slice(0, -1).forEach((block, index) => assert.ok(pieces.blocks[index] === block || !seen.has(block)));
      pieces.blocks.slice(0, -2).forEach((block) => seen.add(block));
    }
    assert.equal(plain(pieces), plain(whole), `pieces of ${size}`);
  }
  whole.update("another text\n");
  assert.equal(plain(whole), plain(Object.assign(new Markdown(), { blocks: parseBlocks("another text\n", new Map()).children })));
});

// Each takes time in the square of its size, or a stack as deep, in a parser that is careless there.
const LONG = {
  "quotes in quotes": ">".repeat(10_000) + " x", "quotes on every line": (">".repeat(200) + " x\n").repeat(500),
  "lists in lists": Array.from({ length: 2000 }, (_, n) => `${"  ".repeat(n)}- x`).join("\n"), "items on a line": "- ".repeat(50_000) + "x",
  "a million cells": `|${"a|".repeat(1000)}\n|${"-|".repeat(1000)}\n${`|${"x|".repeat(1000)}\n`.repeat(1000)}`,
  "a long table": `a|b\n-|-\n${"1|2\n".repeat(100_000)}`, "rows that fit no head": "|-|\n|-|-|\n".repeat(20_000), "a wide head and short rows": `|${"a|".repeat(128)}\n|${"-|".repeat(128)}\n${"x\n".repeat(50_000)}`,
  "brackets": "[".repeat(50_000), "brackets closed": "[".repeat(20_000) + "]".repeat(20_000), "links in links": "[".repeat(20_000) + "a" + "](b)".repeat(20_000),
  "destinations": "[a](<b".repeat(20_000), "parentheses": "[a](".repeat(20_000), "titles": "[a](b \"".repeat(20_000), "labels": "[a][".repeat(20_000),
  "stars": "*".repeat(50_000) + "a" + "*".repeat(50_000), "stars around": "*a ".repeat(20_000) + " b*".repeat(20_000), "mixed marks": "*a _b **c __d ".repeat(10_000),
  "strokes": "~a ~~b ".repeat(20_000), "backticks": Array.from({ length: 1000 }, (_, n) => "`".repeat(n)).join(" "), "angles": "<a".repeat(50_000),
  "schemes": "<a:".repeat(50_000), "entities": "&a".repeat(50_000), "backslashes": "\\".repeat(100_000), "definitions": "[a]: b\n".repeat(20_000),
  "open definitions": "[a\n".repeat(20_000), "hashes": "# #".repeat(50_000), "blanks": `${" ".repeat(100_000)}x`, "rules": "- - ".repeat(20_000) + "x",
  "addresses": "http://a.".repeat(20_000), "brackets at an end": `http://a${")".repeat(1900)}`.repeat(20), "mails": "a@a.".repeat(20_000),
  "spaces in code": "` ".repeat(50_000), "images": "![".repeat(30_000) + "](a)".repeat(30_000), "tabs": "\t".repeat(100_000),
};

for (const [name, text] of Object.entries(LONG)) {
  test(`${name} take no longer than they are long`, () => {
    const markdown = new Markdown();
    markdown.update(text);
    const left = [...markdown.blocks];
    let deepest = 0;
    let cells = 0;
    while (left.length > 0) {
      const block = left.pop();
      deepest = Math.max(deepest, block.depth);
      cells += block.rows?.flat().length ?? 0;
      if (block.text !== undefined && block.type !== "code") parseInlines(block.text, markdown.references);
      left.push(...(block.children ?? []));
    }
    linked(text);
    assert.ok(deepest <= 65);
    assert.ok(cells <= 25_000);
  });
}

test("a line that repeats one character does not hang the page", () => {
  const n = 1_000_000;
  for (const line of ["~".repeat(n) + "`", "`".repeat(n) + "a`", "```" + " ".repeat(n) + "`", "~".repeat(n) + " ".repeat(n) + "`"]) {
    assert.equal(parseBlocks(`${line}\n`, new Map()).children.length, 1);
  }
  const ticks = `${"`".repeat(1000)}a${"` ".repeat(490)}\n`.repeat(500);
  const markdown = new Markdown();
  markdown.update(ticks);
  assert.ok(markdown.blocks.length > 0);
});
