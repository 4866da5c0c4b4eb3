"""Every column people can read has a class, and none is weaker than where it comes from.

Add here: what a column must say.
Not here: the classes (``classes``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion.entities import ENTITIES
from crm_pipeline.lib.privacy.classes import (
    CLASSES,
    FOLLOWS,
    FOLLOWS_CONTRACT,
    STAGING_ONLY,
    classes_of_entity,
    classes_of_names,
)

PUBLISHED = ("marts", "metrics", "ops")
READABLE = (*PUBLISHED, "activation")
STAGING = "staging"

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class ColumnProblem:
    """A column that has no class or the wrong one."""

    model: str
    column: str
    what: str
    remedy: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"model {self.model}{column}: {self.what}. {self.remedy}"


@dataclass(frozen=True)
class Model:
    """A described model: its folder below ``models`` and the class of each column."""

    name: str
    layer: str
    classes: Mapping[str, str | None]


def check_columns(models_dir: Path) -> None:
    """Refuses models with an unclassified or too weakly classified column.

    Raises:
        ConfigError: Lists all problems with model, column and what to write.
    """
    problems = find_column_problems(models_dir)
    if problems:
        raise ConfigError(
            "columns are not classified as they must be:\n"
            + "\n".join(f"  {problem}" for problem in problems),
            where=str(models_dir),
            remedy="write config: {meta: {pii: …}} beside the columns named above",
        )


def find_column_problems(models_dir: Path) -> list[ColumnProblem]:
    """Every problem of every staging model and every model people can read."""
    models = read_models(models_dir)
    problems = [*_undescribed(models_dir, models)]
    origins = [*_contracts(), *_staging(models)]
    for model in models:
        if model.layer in READABLE:
            problems += _check_model(model, origins, set(CLASSES) - STAGING_ONLY)
        elif model.layer == STAGING:
            problems += _check_model(model, _contract_of(model), set(CLASSES))
    return problems


def read_models(models_dir: Path) -> list[Model]:
    """Every model the YAML files below a folder describe, by layer and name."""
    found = []
    for path in sorted(models_dir.rglob("*.yml")):
        layer = path.relative_to(models_dir).parts[0]
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
        for model in content.get("models") or []:
            classes = {column["name"]: _class_of(column) for column in model.get("columns") or []}
            found.append(Model(model["name"], layer, classes))
    return sorted(found, key=lambda model: (model.layer, model.name))


def _class_of(column: Mapping[str, Any]) -> str | None:
    meta = (column.get("config") or {}).get("meta") or {}
    return meta.get("pii")


def _undescribed(models_dir: Path, models: list[Model]) -> Iterator[ColumnProblem]:
    described = {model.name for model in models if model.classes}
    for layer in READABLE:
        for path in sorted((models_dir / layer).rglob("*.sql")):
            if path.stem not in described:
                remedy = f"Describe every column in {path.stem}.yml beside it"
                yield ColumnProblem(path.stem, "", "it has no described columns", remedy)


@dataclass(frozen=True)
class _Origin:
    """What columns of a name may be, and who says so."""

    who: str
    classes: Mapping[str, str | None]
    follows: Mapping[str, tuple[str, ...]]

    def allowed(self, column: str) -> tuple[str, ...]:
        return self.follows.get(self.classes.get(column) or "none", tuple(CLASSES))


def _contracts() -> list[_Origin]:
    return [_Origin("a contract", classes_of_names(ENTITIES.values()), FOLLOWS_CONTRACT)]


def _staging(models: list[Model]) -> list[_Origin]:
    return [_Origin(m.name, m.classes, FOLLOWS) for m in models if m.layer == STAGING]


def _contract_of(model: Model) -> list[_Origin]:
    """Staging reads one entity, so its names mean what that contract says."""
    entity = ENTITIES.get(model.name.removeprefix("stg_"))
    if entity is None:
        return []
    return [_Origin(f"the contract of {entity.name}", classes_of_entity(entity), FOLLOWS_CONTRACT)]


def _check_model(model: Model, origins: list[_Origin], known: set[str]) -> Iterator[ColumnProblem]:
    listed = ", ".join(name for name in CLASSES if name in known)
    for column, pii in model.classes.items():
        if pii is None:
            yield ColumnProblem(
                model.name, column, "it has no class", f"Write pii: one of {listed}"
            )
        elif pii not in known:
            what = f"'{pii}' is no class a column of {model.layer} may have"
            yield ColumnProblem(model.name, column, what, f"Write pii: one of {listed}")
        else:
            yield from _check_origins(model, column, pii, origins)


def _check_origins(
    model: Model, column: str, pii: str, origins: list[_Origin]
) -> Iterator[ColumnProblem]:
    """The first origin that is contradicted: mending it usually mends the others."""
    for origin in origins:
        allowed = origin.allowed(column)
        if pii in allowed:
            continue
        said = origin.classes[column]
        what = f"{origin.who} says {said} of this name, which '{pii}' does not follow"
        remedy = (
            f"Write pii: {' or '.join(allowed)}"
            if allowed
            else "Take it out; if it is something else, give it a name of its own"
        )
        yield ColumnProblem(model.name, column, what, remedy)
        return
