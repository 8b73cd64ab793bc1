"""Every row of the security catalog names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROWS = [line for line in (HERE / "README.md").read_text().splitlines() if line.startswith("| INV-")]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


@cache
def names_in(path: Path) -> frozenset[str]:
    defined = ast.walk(ast.parse(path.read_text()))
    functions = (node.name for node in defined if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


def named(row: str) -> list[tuple[Path, str]]:
    references = re.findall(r"`([^`]+\.py)(?:::(\w+))?`", cells(row)[3])
    return [((HERE / path).resolve(), test) for path, test in references]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: cells(row)[0])
def test_each_row_names_tests_that_exist(row: str) -> None:
    _, invariant, harm, _ = cells(row)
    assert invariant and harm and named(row)
    for path, test in named(row):
        assert path.is_file(), path
        assert not test or test in names_in(path), f"{path.name} has no {test}"


def test_ids_are_given_once() -> None:
    ids = [cells(row)[0] for row in ROWS]
    assert len(ids) == len(set(ids)) and ids
