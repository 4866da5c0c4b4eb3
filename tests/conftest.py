"""Fixtures every suite shares.

Add here: what more than one folder of tests needs.
Not here: data (``fixtures/``) and helpers of one suite.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_pipeline.lib.dagster_home import QUIET
from crm_pipeline.lib.home import CrmHome

PROJECT = Path(__file__).resolve().parents[1]
SHARED_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def no_telemetry() -> None:
    """Nothing a test starts may phone home."""
    os.environ.update(QUIET)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never sees the developer's own home, keys or injected failures."""
    for name in [name for name in os.environ if name.startswith("CRM_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[CrmHome]:
    """An empty home."""
    yield CrmHome(tmp_path / "home").ensure()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public data sets that are too large to ship."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public data sets are not beside this checkout (see docs/benchmarks.md)")
    return SHARED_DATA
