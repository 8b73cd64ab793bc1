"""Everything that the protocol's schema lets an agent say has a form: text for people, or state for latecomers.

The schemas are those of the packages that are installed: the Python SDK, and the agents' own SDKs where they are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.agents.real import AGENTS

from myagent.agents.rendering.state import state_of
from myagent.agents.rendering.turn import Rendering

JSON = dict[str, Any]
Told = Callable[[list[JSON]], str]

# Names under which the schema has words for people; the others are ids, numbers, and annotations.
WORDS = {"text", "title", "description", "error", "uri", "content", "path"}
PROSE = {"config_option_update": {"description"}}  # words that are left out on purpose: there is much of it
BASE64 = {"data": "AAAA", "blob": "AAAA"}


def python_schema() -> JSON:
    schema = pytest.importorskip("acp.schema", reason="needs: pip install agent-client-protocol")
    whole = dict(schema.SessionNotification.model_json_schema(by_alias=True))
    whole["$defs"]["SessionUpdate"] = whole["properties"]["update"]
    return whole


def npm_schemas() -> list[Path]:
    found = sorted(AGENTS.glob("node_modules/**/sdk/schema/**/schema*.json"))
    return [path for path in found if "agent-client-protocol" in str(path) or "agentclientprotocol" in str(path)]


@dataclass(frozen=True)
class Example:
    """One update; `choices` says which alternative of the schema it was made for."""

    update: JSON
    choices: tuple[str, ...]

    @property
    def words(self) -> set[str]:
        return set(_words(self.update, WORDS - PROSE.get(self.update["sessionUpdate"], set())))


class Schema:
    """Makes examples such that every alternative, at every place of an update, is in one of them."""

    def __init__(self, whole: JSON) -> None:
        self.defs = whole["$defs"]
        self._count = 0

    def updates(self) -> Iterator[Example]:
        union = self.defs["SessionUpdate"]
        for branch in union.get("oneOf") or union["anyOf"]:
            for update, choices in self.values(branch, "", 0):
                yield Example(update, choices)

    def values(self, node: JSON, name: str, depth: int) -> list[tuple[Any, tuple[str, ...]]]:
        """Values of a node, each with the alternatives that were taken in it."""
        node = self.merged(node)
        if "const" in node:
            return [(node["const"], ())]
        if "enum" in node:
            return [(value, (f"{name}={value}",)) for value in node["enum"]]
        for union in ("oneOf", "anyOf"):
            if union in node:
                branches = [self.merged(branch) for branch in node[union]]
                branches = [branch for branch in branches if branch.get("type") != "null"]
                found = [each for branch in branches for each in self.values(branch, name, depth)]
                return [(v, (*c, f"{name}:{_label(v)}")) for v, c in found] if len(branches) > 1 else found
        kinds = node.get("type", "object" if "properties" in node else "any")
        kinds = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind != "null"]
        return [each for kind in kinds for each in self.of_type(kind, node, name, depth)]

    def of_type(self, kind: str, node: JSON, name: str, depth: int) -> list[tuple[Any, tuple[str, ...]]]:
        match kind:
            case "string":
                self._count += 1
                return [(BASE64.get(name, f"{name or 'word'}-{self._count:04}"), ())]
            case "integer" | "number":
                return [(7, ())]
            case "boolean":
                return [(True, ())]
            case "array":
                return [([value], choices) for value, choices in self.values(node.get("items", {}), name, depth)]
            case "object":
                return self.objects(node, depth) if depth < 6 else []
            case _:
                self._count += 1
                word = f"{name}-{self._count:04}"
                return [(word, (f"{name}: text",)), ({"output": word}, (f"{name}: data",))]

    def objects(self, node: JSON, depth: int) -> list[tuple[JSON, tuple[str, ...]]]:
        fields = {
            key: found
            for key, inner in node.get("properties", {}).items()
            if key not in ("_meta", "annotations") and (found := self.values(inner, key, depth + 1))
        }
        base = {key: found[0][0] for key, found in fields.items()}
        rows = [(base, tuple(choice for found in fields.values() for choice in found[0][1]))]
        rows += [({**base, key: value}, choices) for key, found in fields.items() for value, choices in found[1:]]
        return rows

    def merged(self, node: JSON) -> JSON:
        """A node with what it refers to."""
        while "$ref" in node or "allOf" in node:
            parts = [self.defs[node["$ref"].rsplit("/", 1)[-1]]] if "$ref" in node else []
            parts += node.get("allOf", [])
            node = {key: value for key, value in node.items() if key not in ("$ref", "allOf")}
            for part in map(self.merged, parts):
                properties = {**part.get("properties", {}), **node.get("properties", {})}
                node = {**part, **node, **({"properties": properties} if properties else {})}
        return node


def _label(value: Any) -> str:
    return str(value.get("type") or value.get("state") or sorted(value)) if isinstance(value, dict) else str(value)


def _words(value: Any, names: set[str], name: str = "") -> Iterator[str]:
    match value:
        case str() if name in names and value not in BASE64.values():
            yield value
        case dict():
            for key, inner in value.items():
                yield from _words(inner, names, key)
        case list():
            for inner in value:
                yield from _words(inner, names, name)


def told(updates: list[JSON]) -> str:
    """All that is shown and kept of some updates of one turn."""
    rendering, shown = Rendering(), []
    for update in updates:
        shown.append(rendering.render(update).text)
        if state := {key: value for key, value in (state_of(update) or {}).items() if value}:
            shown.append(json.dumps(state))
    return "".join(shown)


def formless(schema: JSON, told: Told = told) -> list[str]:
    """What of a schema is not shown: `VARIANT (ALTERNATIVES): what is missing`."""
    problems = []
    for example in Schema(schema).updates():
        update, kind = example.update, example.update["sessionUpdate"]
        whole = [update]
        if kind in ("tool_call", "tool_call_update"):  # results are told when it has ended
            whole.append(
                {"sessionUpdate": "tool_call_update", "toolCallId": update["toolCallId"], "status": "completed"}
            )
        text = told(whole)
        label = f"{kind} ({', '.join(example.choices)})"
        if not text.strip():
            problems.append(f"{label}: nothing")
        missing = [word for word in sorted(example.words) if word not in text]
        if missing:
            problems.append(f"{label}: {missing}")
        bare = {key: value for key, value in update.items() if key not in ("content", "rawOutput")}
        content = update.get("content")
        shown, without = ([{**bare, **part}, *whole[1:]] for part in ({"content": content}, {}))
        if isinstance(content, (dict, list)) and told(shown) == told(without):
            problems.append(f"{label}: nothing of its content")
    return problems


def test_everything_in_the_schema_of_the_python_sdk_has_a_form() -> None:
    schema = python_schema()
    kinds = {example.update["sessionUpdate"] for example in Schema(schema).updates()}
    assert {"plan_update", "plan_removed", "usage_update", "tool_call", "user_message_chunk"} <= kinds
    assert formless(schema) == []


@pytest.mark.skipif(not npm_schemas(), reason="needs: make agents")
@pytest.mark.parametrize("path", npm_schemas(), ids=lambda path: "-".join(path.parts[-3:]))
def test_everything_in_the_schemas_that_agents_bring_has_a_form(path: Path) -> None:
    if "v2" in path.parts:
        pytest.skip("version 2 is another protocol")
    assert formless(json.loads(path.read_text())) == []


def test_the_walk_finds_a_variant_that_has_no_form() -> None:
    """The controls: a kind that nobody knows, and forms that are taken away one by one."""
    schema = python_schema()
    new = {"properties": {"sessionUpdate": {"const": "weather"}, "degrees": {"type": "integer"}}}
    update = schema["$defs"]["SessionUpdate"]
    more = {"oneOf": [*(update.get("oneOf") or update["anyOf"]), new]}
    assert formless({**schema, "$defs": {**schema["$defs"], "SessionUpdate": more}}) == ["weather (): nothing"]

    for kind in ("plan_removed", "usage_update", "user_message_chunk"):
        found = formless(schema, lambda updates, kind=kind: told([u for u in updates if u["sessionUpdate"] != kind]))
        assert found
        assert all(each.startswith(kind) for each in found)
    for block in ("image", "audio", "resource_link", "terminal", "diff"):
        found = formless(schema, lambda updates, block=block: told(_without(updates, block)))
        assert any(block in each for each in found), block


def _without(value: Any, block: str) -> Any:
    """Data without the blocks of one type."""
    match value:
        case {"type": str(kind)} if kind == block:
            return {}
        case dict():
            return {key: _without(inner, block) for key, inner in value.items()}
        case list():
            return [_without(inner, block) for inner in value]
        case _:
            return value
