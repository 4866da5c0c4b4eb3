"""``crm rules``: what the rule tables say, and what an edit of them would do.

Add here: a command about rules, and what it prints.
Not here: the work (``lib/rules``).

Imports that need seconds are made inside the command that needs them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from crm_pipeline.home_option import PROJECT, home_option, open_home

SEEDS = PROJECT / "dbt_project" / "seeds"


@click.group("rules")
def rules() -> None:
    """The rule tables (dbt_project/seeds): tiers, caps, identifiers and the rest."""


@rules.command()
@click.option(
    "--ladder-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Prove the ladders of this CSV instead; without any priority they are read literally.",
)
def check(ladder_file: Path | None) -> None:
    """Reads every rule table strictly, and proves that each ladder gives everybody one tier."""
    from crm_pipeline.lib.rules import check_rules
    from crm_pipeline.lib.rules.ladders import FILE, load_ladders

    if ladder_file is None:
        check_rules(SEEDS)
        click.echo(f"ok: the rule tables of {SEEDS.relative_to(PROJECT)} have no problem")
    ladders = load_ladders(ladder_file or SEEDS / FILE)
    for ladder in ladders:
        for line in ladder.tell():
            click.echo(line)
    sys.exit(0 if all(ladder.is_total and ladder.is_unambiguous for ladder in ladders) else 1)


@rules.command()
@home_option
@click.option(
    "--seeds",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of edited rule tables; those not in it stay as they are.",
)
@click.option("--out", type=click.Path(path_type=Path), help="HTML page to write as well.")
@click.option("--customers", default=50, show_default=True, help="How many customers to list.")
def preview(home: Path, seeds: Path, out: Path | None, customers: int) -> None:
    """Who would change tier or tags if these rules were used; nothing is kept."""
    from crm_pipeline.lib.files import atomic_path
    from crm_pipeline.lib.ingestion import load_feeds
    from crm_pipeline.lib.reporting.labels import read_labels
    from crm_pipeline.lib.rules.preview import preview_rules
    from crm_pipeline.lib.rules.preview_page import render_page
    from crm_pipeline.lib.rules.preview_text import tell_preview
    from crm_pipeline.lib.settings import resolve
    from crm_pipeline.resources import dbt_environment  # Dagster, seconds to import

    opened = open_home(home)
    settings = resolve(opened, env=os.environ)
    found = preview_rules(
        opened,
        seeds,
        project=PROJECT / "dbt_project",
        channels={f.channel for f in load_feeds(PROJECT / "crm_pipeline" / "defs" / "channels")},
        told=dbt_environment(settings),
        currency=settings.currency,
        limit=customers,
    )
    click.echo(tell_preview(found))
    if out is not None:
        labels = read_labels(PROJECT / "dbt_project" / "seeds", found.ladder)
        with atomic_path(out.absolute()) as temporary:
            temporary.write_text(render_page(found, labels), encoding="utf-8")
        click.echo(f"\npage  {out}")
