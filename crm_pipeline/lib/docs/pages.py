"""The list of generated pages.

Add here: a page and the function that renders it.
Not here: how one page is made (one module each).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crm_pipeline.lib.docs import (
    bad_inputs_table,
    config_keys,
    content_page,
    customer_page,
    entity_pages,
    privacy_page,
    reasons_page,
    requirements_table,
)

Problems = list[str]

PAGES: dict[str, Callable[[Path], str]] = {
    "docs/requirements.md": requirements_table.render,
    "docs/bad_inputs.md": bad_inputs_table.render_inputs,
    "docs/faults.md": bad_inputs_table.render_faults,
    "docs/entities.md": entity_pages.render,
    **entity_pages.family_pages(),
    "docs/config_keys.md": config_keys.render,
    "docs/content.md": content_page.render,
    "docs/reasons.md": reasons_page.render,
    "docs/privacy_classes.md": privacy_page.render,
    "docs/customer_360.md": customer_page.render,
}
CHECKS: tuple[Callable[[Path], Problems], ...] = (
    requirements_table.find_problems,
    bad_inputs_table.find_problems,
)


def render_pages(root: Path) -> dict[Path, str]:
    """Absolute path of every generated page -> the text it must hold."""
    return {root / name: render(root) for name, render in PAGES.items()}


def find_problems(root: Path) -> Problems:
    """Contradictions between tables and tests, one sentence each."""
    return [problem for check in CHECKS for problem in check(root)]
