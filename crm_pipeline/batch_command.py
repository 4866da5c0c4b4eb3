"""``crm batch`` and ``crm outreach``: the life of a batch, and the kill switch.

Add here: a command about batches, and what it prints.
Not here: the work (``lib/outreach``).

Imports that need seconds are made inside the command that needs them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crm_pipeline.home_option import PROJECT, home_option, open_home
from crm_pipeline.lib.clock import wall_clock
from crm_pipeline.reconcile_command import reconcile, resolve

if TYPE_CHECKING:
    from crm_pipeline.lib.outreach.plan import Batch

SEEDS = PROJECT / "dbt_project" / "seeds"
batch_argument = click.argument("batch_id")


@click.group("batch")
def batch() -> None:
    """Batches of messages: planned by the night, approved by a person, released step by step.

    Set CRM_OPERATOR to your name and CRM_OPERATORS to everybody who may approve and release. Who
    planned a batch cannot approve it. That keeps a record of two people; it is no proof of who
    they are, because anybody who may run this command can set a name.
    """


batch.add_command(reconcile)
batch.add_command(resolve)


@batch.command("list")
@home_option
@click.option("--journey", help="Only batches of this journey.")
@click.option("--all", "is_all", is_flag=True, help="Batches that have ended too.")
def list_all(home: Path, journey: str | None, is_all: bool) -> None:
    """Batches, the newest first; one is named by the beginning of its id."""
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.life import OPEN, expire_batches
    from crm_pipeline.lib.outreach.plan import list_batches

    ledger = open_ledger(open_home(home))
    expire_batches(ledger, now=_now())
    states = () if is_all else (*OPEN, "stopped")
    found = list_batches(ledger, states=states, journey=journey)
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("no batch" if is_all else "no open batch; --all shows those that have ended")


@batch.command()
@home_option
@batch_argument
def show(home: Path, batch_id: str) -> None:
    """A batch, its messages by state, and every step of it with who took it."""
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.life import count_claims, get_batch, read_history

    opened = open_home(home)
    with open_ledger(opened).connect() as connection:
        found = get_batch(connection, batch_id)
        counts = count_claims(connection, found.batch_id)
        history = read_history(connection, found.batch_id)
    click.echo(_line(found))
    click.echo(f"folder    {opened.root / found.folder}")
    told = ", ".join(f"{state} {count:,}" for state, count in counts.items())
    click.echo(f"messages  {told or 'none claimed'}")
    for at, actor, action in history:
        click.echo(f"{at:%Y-%m-%d %H:%M:%S} UTC  {actor:<12} {action}")


@batch.command()
@home_option
@batch_argument
def preview(home: Path, batch_id: str) -> None:
    """Size, what is suppressed and why, cost, overlap, holdout, and samples with masked contacts.

    What is kept beside the plan is what an operator approves. The audit keeps who read it:
    a batch is approved only once a listed operator (CRM_OPERATOR) has.
    """
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.life import get_batch
    from crm_pipeline.lib.outreach.operators import read_operators
    from crm_pipeline.lib.outreach.preview import preview_batch, tell_preview

    opened = open_home(home)
    ledger = open_ledger(opened)
    with ledger.connect() as connection:
        found = get_batch(connection, batch_id)
    operators = read_operators(os.environ)
    made = preview_batch(opened, ledger, found, now=_now(), actor=operators.reader)
    click.echo(tell_preview(made))
    if operators.me not in operators.listed:
        click.echo("\nread by no listed operator: set CRM_OPERATOR before it can be approved")


@batch.command()
@home_option
@batch_argument
def approve(home: Path, batch_id: str) -> None:
    """Lets a batch be released once an operator has read its preview; not by its planner.

    The preview the night makes does not count: a listed operator, perhaps yourself, must have run
    crm batch preview for exactly this plan. A record of two people, not a proof of who they are.
    """
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.life import approve as let_go
    from crm_pipeline.lib.outreach.operators import read_operators

    opened = open_home(home)
    operators = read_operators(os.environ)
    found = let_go(opened, open_ledger(opened), batch_id, operators, now=_now())
    click.echo(f"{_line(found)}\nrelease it with: crm batch release {found.batch_id[:8]}")


@batch.command()
@home_option
@batch_argument
def release(home: Path, batch_id: str) -> None:
    """Sends what is due: the canary first; asked again, the rest. A dry run unless told otherwise.

    CRM_DELIVERY=live delivers; CRM_DELIVERY_EMAIL, _SMS, _WECOM and _PUSH say how
    [default: file:csv]. Without it the messages are written with masked contacts, nothing is
    claimed and nobody is called.
    """
    from crm_pipeline.lib.ledger import open_ledger, open_vault
    from crm_pipeline.lib.outreach.operators import read_operators
    from crm_pipeline.lib.outreach.quiet import read_quiet_hours
    from crm_pipeline.lib.outreach.release import Rules, release_batch, tell_release
    from crm_pipeline.lib.settings import resolve as resolve_settings

    opened = open_home(home)
    who = read_operators(os.environ).require()
    settings = resolve_settings(opened, env=os.environ)
    report = release_batch(
        opened,
        open_ledger(opened),
        open_vault(opened),
        batch_id,
        environment=os.environ,
        rules=Rules(settings.zone, read_quiet_hours(SEEDS)),
        now=_now,
        actor=who,
    )
    click.echo(tell_release(report))


@batch.command()
@home_option
@batch_argument
@click.option("--reason", required=True, help="Why; the audit keeps it.")
def stop(home: Path, batch_id: str, reason: str) -> None:
    """Stops a batch: from the next claim on nothing of it leaves. Anybody may stop."""
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.life import stop as stop_batch
    from crm_pipeline.lib.outreach.operators import read_operators

    actor = read_operators(os.environ).stopper
    ledger = open_ledger(open_home(home))
    click.echo(_line(stop_batch(ledger, batch_id, actor, reason, now=_now())))


@batch.command()
@home_option
@batch_argument
def resume(home: Path, batch_id: str) -> None:
    """Takes a stopped batch up again; what left before never leaves again."""
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.life import resume as resume_batch
    from crm_pipeline.lib.outreach.operators import read_operators

    ledger = open_ledger(open_home(home))
    found = resume_batch(ledger, batch_id, read_operators(os.environ), now=_now())
    click.echo(_line(found))


@click.group("outreach")
def outreach() -> None:
    """The kill switch: all of outreach, or one journey."""


@outreach.command("stop")
@home_option
@click.option("--journey", help="Only this journey [default: all of outreach].")
@click.option("--reason", required=True, help="Why; the audit keeps it.")
def stop_outreach(home: Path, journey: str | None, reason: str) -> None:
    """From the next claim on nothing leaves. Anybody may stop."""
    from crm_pipeline.lib.outreach.operators import read_operators

    _switch(home, journey, True, read_operators(os.environ).stopper, reason)


@outreach.command("go")
@home_option
@click.option("--journey", help="Only this journey [default: all of outreach].")
@click.option("--reason", required=True, help="Why; the audit keeps it.")
def allow_outreach(home: Path, journey: str | None, reason: str) -> None:
    """Allows again what was stopped; only a listed operator does."""
    from crm_pipeline.lib.outreach.operators import read_operators

    _switch(home, journey, False, read_operators(os.environ).require(), reason)


@outreach.command("status")
@home_option
def status(home: Path) -> None:
    """What is stopped, by whom and why."""
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.release import delivery_mode
    from crm_pipeline.lib.outreach.switch import read_switches

    with open_ledger(open_home(home)).connect() as connection:
        found = read_switches(connection)
    for one in found:
        word = "stopped" if one.is_stopped else "allowed"
        click.echo(
            f"{one.scope}  {word} by {one.actor}, {one.changed_at:%Y-%m-%d %H:%M} UTC: {one.reason}"
        )
    if not any(one.is_stopped for one in found):
        click.echo("nothing is stopped")
    click.echo(f"delivery  {delivery_mode(os.environ)}")


def _switch(home: Path, journey: str | None, is_stopped: bool, actor: str, reason: str) -> None:
    from crm_pipeline.lib.errors import OutreachError
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.journey import load_journeys
    from crm_pipeline.lib.outreach.switch import ALL, set_switch

    known = [one.journey for one in load_journeys(PROJECT / "crm_pipeline" / "defs" / "outreach")]
    if journey is not None and journey not in known:
        raise OutreachError(
            f"no journey is called {journey!r}", remedy=f"use one of: {', '.join(known)}"
        )
    set_switch(
        open_ledger(open_home(home)), journey or ALL, is_stopped=is_stopped, actor=actor,
        reason=reason, now=_now(),
    )  # fmt: skip
    click.echo(f"{journey or ALL}: {'stopped' if is_stopped else 'allowed'}")


def _line(one: Batch) -> str:
    facts: Mapping[str, object] = {
        "planned by": one.planned_by,
        "approved by": one.approved_by,
        "valid until": f"{one.valid_until:%Y-%m-%d %H:%M} UTC",
    }
    told = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    return (
        f"{one.batch_id[:8]}  {one.state:<9} {one.journey}, {one.run_kind} of {one.as_of_date}, "
        f"{one.message_count:,} messages, {told}"
    )


def _now() -> datetime:
    return wall_clock(os.environ)
