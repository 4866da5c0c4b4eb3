"""The walls around the simulated world.

Add here: who may know what about it.
Not here: whether the world is right (``tests/unit/simulation``).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.examples import is_made, list_examples, make_example
from crm_pipeline.lib.home import CrmHome

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("crm_pipeline", "ml", "dbt_project")
SHOWN_SUFFIXES = {".py", ".sql", ".yml", ".yaml"}


def product_files() -> Iterator[Path]:
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SHOWN_SUFFIXES and "target" not in path.parts:
                yield path


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_the_product_does_not_import_the_simulator():
    paths = [path for path in product_files() if path.suffix == ".py"]
    assert len(paths) > 50
    assert [path for path in paths if "simulation" in imported_modules(path)] == []


def test_no_asset_reads_the_truth():
    reads = re.compile(r"""["'/]truth["'/]""")
    found = [path for path in product_files() if reads.search(path.read_text(encoding="utf-8"))]
    assert found == []
    assert not hasattr(CrmHome, "truth")


def test_the_world_is_made_and_the_real_data_is_shipped():
    assert {name: is_made(name) for name in list_examples()} == {
        "online_retail": False,
        "own_channel": False,
        "world": True,
    }


def test_a_maker_that_fails_is_named_with_its_parameters(tmp_path: Path):
    folder = tmp_path / "examples" / "broken"
    folder.mkdir(parents=True)
    (folder / "settings.env").write_text("CRM_AS_OF=latest\n", encoding="utf-8")
    (folder / "world.yaml").write_text("people: many\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="could not be made") as error:
        make_example("broken", tmp_path / "home", root=tmp_path / "examples")
    assert "world.yaml" in str(error.value)
