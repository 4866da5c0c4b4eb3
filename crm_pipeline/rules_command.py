"""``crm rules``: what the rule tables say, before anything runs on them.

Add here: a command about rule tables, and what it prints.
Not here: the work (``lib/rules``).
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from crm_pipeline.home_option import PROJECT

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
