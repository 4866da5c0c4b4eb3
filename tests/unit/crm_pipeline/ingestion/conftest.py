"""Fixtures of the ingestion tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .door import Door, feed


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


@pytest.fixture
def make_door(tmp_path: Path) -> Callable[..., Door]:
    """Makes a door for a feed with changed attributes."""

    def make(changes: dict[str, Any] | None = None, *, name: str = "door", **more: Any) -> Door:
        return Door(tmp_path / name, feed(changes, **more))

    return make
