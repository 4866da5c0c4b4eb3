"""``crm explain``: why a customer was written to, or was not.

Add here: options of the command.
Not here: the work (``lib/outreach/explain``).

Imports that need seconds are made inside the command that needs them.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from crm_pipeline.home_option import PROJECT, home_option, open_home


@click.command("explain")
@home_option
@click.argument("customer")
@click.option(
    "--language",
    type=click.Choice(["zh-CN", "en"]),
    default="en",
    show_default=True,
    help="Language of the words.",
)
def explain(home: Path, customer: str, language: str) -> None:
    """Why CUSTOMER was written to or not, journey by journey, from what is published.

    CUSTOMER is a customer_id, or an account as channel:source_customer_id.
    """
    import duckdb

    from crm_pipeline.lib.errors import PublishError
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.outreach.explain import find_people, read_story, tell_story
    from crm_pipeline.lib.outreach.journey import load_journeys
    from crm_pipeline.lib.publish.manifest import DATABASE, current_manifest
    from crm_pipeline.lib.rules.outreach_rules import load_rule_words
    from crm_pipeline.lib.settings import resolve
    from crm_pipeline.lib.warehouse import open_warehouse

    opened = open_home(home)
    build = current_manifest(opened)
    if build is None:
        raise PublishError("nothing is published yet", where=str(home), remedy="run `crm run`")
    words = load_rule_words(PROJECT / "dbt_project" / "seeds")
    journeys = load_journeys(PROJECT / "crm_pipeline" / "defs")
    zone = resolve(opened, env=os.environ).zone
    ledger = open_ledger(opened)
    with open_warehouse(build.build_dir / DATABASE, read_only=True) as connection:
        try:
            people = find_people(connection, customer)
            stories = [read_story(connection, ledger, one) for one in people]
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise PublishError(
                "what is published was made by an older version",
                where=str(build.build_dir),
                remedy="run `crm run` once",
            ) from error
    told = (tell_story(one, journeys, words, language=language, zone=zone) for one in stories)
    click.echo("\n\n".join(told))
