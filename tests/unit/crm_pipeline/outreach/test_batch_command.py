"""What an operator types, from the list of batches to the kill switch."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from batch_support import AS_OF, People
from click.testing import CliRunner

from crm_pipeline.cli import main

ENV = {
    "CRM_TIMEZONE": "Asia/Shanghai", "CRM_CURRENCY": "CNY", "CRM_OPERATORS": "li,wang",
    **dict.fromkeys(("CRM_TOKEN_KEY", "CRM_ID_KEY", "CRM_HOLDOUT_SALT"), "of use for tests only"),
}  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> People:
    """A batch that is due and valid by the clock of this machine."""
    people = People(tmp_path)
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    moments = {"planned_send_at": now, "valid_until": now + dt.timedelta(days=2)}
    people.record(people.decisions(**moments))
    people.plan(now=now)
    return people


def crm(world: People, *words: str, **environment: str) -> str:
    """What a command prints, whether it ends well or with a reason."""
    result = CliRunner().invoke(
        main, [*words, "--home", str(world.home.root)], env={**ENV, **environment}
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


@pytest.mark.requirement("OUT-7")
def test_a_batch_lives_from_the_list_to_the_dry_run(world: People) -> None:
    line = crm(world, "batch", "list")
    batch_id = line[:8]
    assert f"planned   wake_up, nightly of {AS_OF}, 4 messages, planned by schedule" in line
    assert "read by no listed operator" in crm(world, "batch", "preview", batch_id)
    unread = crm(world, "batch", "approve", batch_id, CRM_OPERATOR="li")
    assert f"CRM_OPERATOR=li crm batch preview {batch_id}" in unread
    assert "4 to 4 people" in crm(world, "batch", "preview", batch_id, CRM_OPERATOR="li")
    assert "no operator is named" in crm(world, "batch", "approve", batch_id)
    approved = crm(world, "batch", "approve", batch_id, CRM_OPERATOR="wang")
    assert f"crm batch release {batch_id}" in approved
    assert "DRY RUN of 4 messages" in crm(world, "batch", "release", batch_id, CRM_OPERATOR="li")
    assert world.states() == {}
    shown = crm(world, "batch", "show", batch_id)
    assert "wang         batch_approved" in shown and "batch_dry_run" in shown
    stopped = crm(world, "batch", "stop", batch_id, "--reason", "a typo")
    assert "stopped   wake_up" in stopped
    assert "approved  wake_up" in crm(world, "batch", "resume", batch_id, CRM_OPERATOR="li")


@pytest.mark.requirement("OUT-7")
def test_anybody_stops_outreach_and_only_an_operator_allows_it(world: People) -> None:
    assert "nothing is stopped\ndelivery  dry_run" in crm(world, "outreach", "status")
    assert "all: stopped" in crm(world, "outreach", "stop", "--reason", "wrong price")
    assert ": wrong price" in crm(world, "outreach", "status")
    assert "no operator is named" in crm(world, "outreach", "go", "--reason", "mended")
    allowed = crm(world, "outreach", "go", "--reason", "mended", CRM_OPERATOR="li")
    assert "all: allowed" in allowed
    unknown = crm(world, "outreach", "stop", "--journey", "nothing", "--reason", "x")
    assert "no journey is called 'nothing'" in unknown
