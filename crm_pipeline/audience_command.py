"""``crm audience``: audiences for ad platforms.

Add here: a command about audiences, and what it prints.
Not here: the work (``lib/outreach/audience_export``).

Imports that need seconds are made inside the command that needs them.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from crm_pipeline.home_option import PROJECT, home_option, open_home

SEEDS = PROJECT / "dbt_project" / "seeds"


@click.group("audience")
def audience() -> None:
    """Audiences for ad platforms, of people who agreed to that."""


@audience.command()
@home_option
@click.option("--audience", "name", required=True, help="A journey, or tag: and a customer's tag.")
@click.option("--platform", required=True, help="A platform of seeds/ad_platforms.csv.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the lists; its owner alone can read them.",
)
@click.option(
    "--operator", envvar="CRM_OPERATOR", required=True, help="Who hands it over, for the audit log."
)
def export(home: Path, name: str, platform: str, out: Path, operator: str) -> None:
    """Hashed addresses of who granted the purpose `advertising`, and whom to remove.

    Hand over both files: who is in the list of removals may not stay with the platform.
    """
    from crm_pipeline.lib.ledger import open_ledger, open_vault
    from crm_pipeline.lib.outreach.audience_export import export_audience
    from crm_pipeline.lib.rules.ad_platforms import load_ad_platform

    opened = open_home(home)
    report = export_audience(
        opened,
        open_ledger(opened),
        open_vault(opened),
        name,
        load_ad_platform(SEEDS, platform),
        out.absolute(),
        actor=operator,
        now=dt.datetime.now(dt.UTC),
    )
    click.echo(f"{report.people} people, {report.member_count} addresses: {report.members_path}")
    if report.removals_path:
        click.echo(f"{report.removal_count} addresses to remove: {report.removals_path}")
    for reason, count in report.left_out.items():
        click.echo(f"left out, {reason}: {count}")
