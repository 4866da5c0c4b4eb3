"""The page that tells what each published column shows of a person.

Add here: what whoever answers for personal data wants to see.
Not here: the classes (``lib/privacy/classes.py``) and which column has which (dbt).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.privacy.classes import CLASSES, STAGING_ONLY
from crm_pipeline.lib.privacy.columns import PUBLISHED, Model, read_models

SOURCE = "crm_pipeline/lib/privacy/classes.py and the YAML beside the models"
MODELS = "dbt_project/models"


def render(root: Path) -> str:
    """The page ``docs/privacy_classes.md``: the classes, then the published tables."""
    shown = [name for name in CLASSES if name not in STAGING_ONLY and name != "none"]
    models = [model for model in read_models(root / MODELS) if model.layer in PUBLISHED]
    rows = [_row(model, shown) for model in models if set(model.classes.values()) - {"none"}]
    silent = [code(_address(model)) for model in models if set(model.classes.values()) <= {"none"}]
    intro = (
        "Every column says what it shows of a person (`meta.pii`); `make check` refuses one that"
        " does not, and one\nthat is weaker than the contract or the staging model its name comes"
        " from. What names or reaches a person\n(direct) stays in raw, conformed, quarantine and"
        " the vault.\n"
    )
    return "\n".join(
        [
            heading("Personal data in columns", SOURCE),
            intro,
            table(["Class", "Meaning"], [[code(name), text] for name, text in CLASSES.items()]),
            "## Published tables\n\nColumns that are not named here are `none`.\n",
            table(["Table", *shown], rows),
            f"Every column is `none` in: {', '.join(silent)}.\n",
        ]
    )


def _address(model: Model) -> str:
    return f"{model.layer}.{model.name}"


def _row(model: Model, shown: list[str]) -> list[str]:
    listed = [
        ", ".join(code(column) for column, pii in model.classes.items() if pii == name)
        for name in shown
    ]
    return [code(_address(model)), *listed]
