"""``crm batch reconcile`` and ``crm batch resolve``: messages nobody knows the end of.

Add here: a command about unknown outcomes, and what it prints.
Not here: the work (``lib/outreach/reconcile.py``), the other commands of a batch.

Imports that need seconds are made inside the command that needs them.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

import click

from crm_pipeline.home_option import home_option, open_home
from crm_pipeline.lib.clock import wall_clock
from crm_pipeline.lib.errors import ConfigError


@click.command()
@home_option
@click.option("--batch", "batch_id", help="List the uncertain messages of this batch only.")
def reconcile(home: Path, batch_id: str | None) -> None:
    """Asks WeCom about its tasks, calls lost calls uncertain, and lists what nobody knows."""
    from crm_pipeline.lib.ledger import open_ledger, open_vault
    from crm_pipeline.lib.outreach.adapters import WecomProvider, delivery_url, open_adapter
    from crm_pipeline.lib.outreach.reconcile import reconcile as settle
    from crm_pipeline.lib.outreach.wecom_tasks import poll_wecom_tasks

    opened = open_home(home)
    ledger = open_ledger(opened)
    if delivery_url("wecom", os.environ).startswith("wecom+"):
        provider = open_adapter("wecom", os.environ)
        assert isinstance(provider, WecomProvider)
        polled = poll_wecom_tasks(ledger, open_vault(opened), provider, now=_now())
        told = ", ".join(f"{state} {count}" for state, count in sorted(polled.settled.items()))
        click.echo(f"{polled.task_count} open tasks of WeCom asked: {told or 'nothing new'}")
    report = settle(ledger, now=_now(), batch_id=batch_id)
    click.echo(f"{report.newly_uncertain_count} claims without a record are uncertain now")
    for one in report.uncertain:
        click.echo(
            f"{one.message_id}  {one.journey}/{one.step}  {one.consent_channel}  "
            f"claimed {one.claimed_at:%Y-%m-%d %H:%M} UTC  batch {one.batch_id}"
        )
    click.echo(f"{len(report.uncertain)} uncertain; none of them is sent again by itself")
    if report.uncertain:
        click.echo("ask the provider, then: crm batch resolve <message id> sent|failed --reason …")


@click.command()
@home_option
@click.argument("message_id")
@click.argument("state", type=click.Choice(["sent", "failed"]))
@click.option("--reason", required=True, help="How it is known; the audit keeps it.")
def resolve(home: Path, message_id: str, state: str, reason: str) -> None:
    """Says what happened to an uncertain message; failed frees the next way of contact."""
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.reconcile import resolve_message

    actor = os.environ.get("CRM_OPERATOR", "").strip()
    operators = [one.strip() for one in os.environ.get("CRM_OPERATORS", "").split(",")]
    if not actor or actor not in operators:
        raise ConfigError(
            "nobody on the list of operators asks",
            where="CRM_OPERATOR",
            remedy="set CRM_OPERATOR to one of CRM_OPERATORS",
        )
    known = cast(Literal["sent", "failed"], state)
    ledger = open_ledger(open_home(home))
    resolve_message(ledger, message_id, known, actor=actor, reason=reason, now=_now())
    click.echo(f"message {message_id} is {state} now")


def _now() -> datetime:
    return wall_clock(os.environ)
