"""The model agent with a scripted model of its own, which comes and goes with it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.agents.contract import Subject
from tests.agents.model_server import model_server

from myagent.agents.builtin.conversation import Files
from myagent.agents.builtin.model import CONTEXT_CHARACTERS, Choice, ModelAgent

needs_models = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pydantic_ai", "openai", "dotenv")),
    reason="needs: pip install 'myagent[models]'",
)


class Modelled(ModelAgent):
    """`asked` are the requests that the model got."""

    def __init__(
        self,
        root: Path,
        *,
        env: Mapping[str, str] | None = None,
        files: Callable[[Path], Files] | None = None,
        context: int = CONTEXT_CHARACTERS,
        **more: Any,
    ) -> None:
        self.asked: list[dict[str, Any]] = []
        self._stack = AsyncExitStack()
        self._context = context
        super().__init__(Choice(), cwd=root, env=env or {}, files=files, **more)

    async def start(self) -> None:
        url = await self._stack.enter_async_context(model_server(self.asked))
        self._choice = Choice(model="stub", base_url=f"{url}/v1", context=self._context)
        await super().start()

    async def close(self) -> None:
        await super().close()
        await self._stack.aclose()


def script(*steps: dict[str, Any]) -> str:
    """A prompt that makes the model answer in these steps."""
    return f"SCRIPT {json.dumps(steps)}"


def calls(*asked: tuple[str, Any]) -> dict[str, Any]:
    return {"calls": [list(each) for each in asked]}


TELL = {"say": "RESULT"}

MODEL = Subject(
    name="model",
    make=Modelled,
    says=script(calls(("Read", {"path": "greeting.txt"})), TELL),
    changes=script(calls(("Write", {"path": "changed", "content": "something"})), TELL),
    lingers=script(calls(("Bash", {"command": "sleep 1000 & echo $$ $!; wait"})), TELL),
    runs=script(calls(("Bash", {"command": "sh run.sh"})), TELL),
    fails="FAIL 400",
    asks=script(calls(("Ask", {"question": "which?", "choices": ["red", "blue"]})), TELL),
    goes_on=True,
)
