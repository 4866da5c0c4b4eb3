"""Stands in for dbt's ``adapter`` while SQL is linted.

Add here: what macros call on it.
Not here: what the database really does (dbt knows).
"""

from __future__ import annotations

from collections.abc import Callable


def dispatch(name: str, macro_namespace: str | None = None) -> Callable[..., str]:
    """Any dispatched macro renders as a plain name: its style is linted where it is defined."""
    del macro_namespace
    return lambda *_arguments, **_named: name
