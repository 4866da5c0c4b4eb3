"""Which tests say that they prove what.

Add here: a place where a test can name a requirement or a bad input.
Not here: what is demanded of them (the tables do).
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SQL_META = re.compile(r"requirement['\"]?\s*[:=]\s*\[([^\]]*)\]")
Marks = dict[str, set[str]]


def find_marks(root: Path, marker: str) -> Marks:
    """Id -> tests naming it by ``@pytest.mark.<marker>("<id>")`` or, in dbt, by ``meta``."""
    marks: Marks = defaultdict(set)
    for path in sorted((root / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, identifier in _python_marks(tree, marker):
            marks[identifier].add(f"{path.relative_to(root / 'tests')}{name}")
    if marker == "requirement":
        for name, identifier in _dbt_marks(root / "dbt_project"):
            marks[identifier].add(f"dbt: {name}")
    return dict(marks)


def _python_marks(tree: ast.Module, marker: str) -> Iterator[tuple[str, str]]:
    """Yields (``::test name``, id); a mark outside a test counts for the whole file."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _marks_of(node, f"::{node.name}", marker)
        elif isinstance(node, ast.ClassDef):
            yield from _class_marks(node, marker)
        else:
            yield from _marks_of(node, "", marker)


def _class_marks(node: ast.ClassDef, marker: str) -> Iterator[tuple[str, str]]:
    for decorator in node.decorator_list:
        yield from _marks_of(decorator, f"::{node.name}", marker)
    for member in node.body:
        suffix = f"::{member.name}" if isinstance(member, ast.FunctionDef) else ""
        yield from _marks_of(member, f"::{node.name}{suffix}", marker)


def _marks_of(tree: ast.AST, name: str, marker: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith(f"mark.{marker}"):
            continue
        for argument in node.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield name, argument.value


def _dbt_marks(project: Path) -> Iterator[tuple[str, str]]:
    for path in sorted([*project.glob("*/**/*.yml"), *project.glob("*/**/*.yaml")]):
        if "target" not in path.relative_to(project).parts:
            for name, identifier in _meta_marks(_load(path), path.stem):
                yield name, identifier
    for path in sorted((project / "tests").rglob("*.sql")):
        for match in SQL_META.finditer(path.read_text(encoding="utf-8")):
            for identifier in re.findall(r"[A-Z]+-\d+", match.group(1)):
                yield path.stem, identifier


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _meta_marks(node: Any, name: str) -> Iterator[tuple[str, str]]:
    """Walks a dbt YAML file; the nearest ``name`` above a ``meta.requirement`` is the test's."""
    if isinstance(node, list):
        for item in node:
            yield from _meta_marks(item, name)
    if not isinstance(node, dict):
        return
    name = str(node.get("name", name))
    meta = node.get("meta")
    if isinstance(meta, dict) and "requirement" in meta:
        named = meta["requirement"]
        for identifier in [named] if isinstance(named, str) else named:
            yield name, str(identifier)
    for key, value in node.items():
        if key != "meta":
            yield from _meta_marks(value, name)
