"""Names dbt gives to Jinja, for sqlfluff, which renders the models without dbt.

Add here: a name a macro uses and sqlfluff does not know.
Not here: macros (``macros/``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

_VARS = yaml.safe_load((Path(__file__).parents[1] / "dbt_project.yml").read_text("utf-8"))["vars"]


class _Adapter:
    """Renders a macro with several bodies as a call of its name: enough to judge the style."""

    def dispatch(self, name: str) -> Callable[..., str]:
        return lambda *arguments: f"{name}({', '.join(map(str, arguments))})"


adapter = _Adapter()
model: dict[str, Any] = {}  # dbt describes the model in it; the style depends on none of that


def var(name: str, default: Any = None) -> Any:
    """The project's own value, or a word where the deployment gives it."""
    value = _VARS.get(name, default)
    return "given" if value is None else value
