"""``crm identity``: decisions about accounts, and why accounts are one customer.

Add here: a command about who is who, and what it prints.
Not here: the work (``lib/identity``).

Imports that need seconds are made inside the command that needs them.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crm_pipeline.home_option import PROJECT, home_option, open_home

if TYPE_CHECKING:
    from crm_pipeline.lib.home import CrmHome
    from crm_pipeline.lib.identity.overrides import Override
    from crm_pipeline.lib.identity.preview import CustomerFigures, MergePreview

DBT_PROJECT = PROJECT / "dbt_project"
KINDS = click.Choice(["link", "unlink", "never-link"])

author_option = click.option("--author", required=True, help="Who decides.")
reason_option = click.option("--reason", required=True, help="Why: the next person reads it.")


@click.group("identity")
def identity() -> None:
    """Who is who: why accounts are one customer, and decisions about pairs of accounts.

    Accounts are written channel:source_customer_id, as in marts.source_customers.
    """


@identity.command()
@home_option
@click.argument("left")
@click.argument("right")
def why(home: Path, left: str, right: str) -> None:
    """Why are these two accounts one customer, or two?"""
    from crm_pipeline.lib.identity.overrides import AccountKey
    from crm_pipeline.lib.identity.why import tell_why
    from crm_pipeline.lib.rules.identifier_kinds import load_identifier_kinds
    from crm_pipeline.lib.warehouse import open_warehouse

    accounts = AccountKey.parse(left), AccountKey.parse(right)
    kinds = load_identifier_kinds(DBT_PROJECT / "seeds")
    with open_warehouse(open_home(home).warehouse, read_only=True) as connection:
        click.echo(tell_why(connection, kinds, *accounts))


def _decision(kind: str, help_text: str) -> click.Command:
    @click.command(kind.replace("_", "-"), help=help_text)
    @home_option
    @click.argument("left")
    @click.argument("right")
    @author_option
    @reason_option
    def decide(home: Path, left: str, right: str, author: str, reason: str) -> None:
        from crm_pipeline.lib.identity.overrides import Override

        _record(open_home(home), [Override.of(kind, left, right, author, reason)])

    return decide


identity.add_command(_decision("link", "These two accounts are one person."))
identity.add_command(_decision("unlink", "These two accounts are not one person after all."))
identity.add_command(_decision("never_link", "These two accounts must never become one."))


@identity.command("import")
@home_option
@click.argument("file", type=click.Path(path_type=Path, exists=True))
def import_(home: Path, file: Path) -> None:
    """Decisions from a CSV: override_kind,left,right,author,reason. All of it or nothing."""
    from crm_pipeline.lib.identity.overrides import read_override_file

    _record(open_home(home), read_override_file(file))


@identity.command()
@home_option
def overrides(home: Path) -> None:
    """The decisions that stand."""
    from crm_pipeline.lib.identity.overrides import standing_overrides
    from crm_pipeline.lib.ledger import open_ledger

    rows = standing_overrides(open_ledger(open_home(home))).to_pylist()
    for row in rows:
        click.echo(f"{row['kind']:<10}  {row['left']}  {row['right']}  {row['reason']}")
    click.echo(f"{len(rows)} decisions")


@identity.command()
@home_option
@click.argument("kind", type=KINDS, required=False)
@click.argument("left", required=False)
@click.argument("right", required=False)
@click.option(
    "--file", type=click.Path(path_type=Path, exists=True), help="Decisions as for `import`."
)
def preview(
    home: Path, kind: str | None, left: str | None, right: str | None, file: Path | None
) -> None:
    """What would change in customers, tiers and spend; nothing is kept."""
    from crm_pipeline.lib.identity.preview import dbt_runner, preview_overrides
    from crm_pipeline.lib.ledger import open_ledger
    from crm_pipeline.lib.rules.identifier_kinds import load_identifier_kinds
    from crm_pipeline.lib.settings import resolve
    from crm_pipeline.resources import dbt_environment  # Dagster, seconds to import

    opened = open_home(home)
    settings = resolve(opened, env=os.environ)
    found = preview_overrides(
        opened,
        open_ledger(opened),
        _proposed(kind, left, right, file),
        kinds=load_identifier_kinds(DBT_PROJECT / "seeds"),
        key=settings.keys.id_key,
        run_dbt=dbt_runner(DBT_PROJECT, dbt_environment(settings)),
    )
    _tell_preview(found, settings.currency)


@identity.command()
@click.argument("table", type=click.Path(path_type=Path, exists=True))
@click.argument("declaration", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--engine",
    type=click.Choice(["exact_keys", "deterministic", "probabilistic"]),
    default="deterministic",
    show_default=True,
    help="probabilistic needs the extra: pip install 'crm_pipeline[identity]'.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the result.")
@click.option("--truth", help="Column that says who is who: it judges and never trains.")
def records(table: Path, declaration: Path, engine: str, out: Path, truth: str | None) -> None:
    """Who is one person in any TABLE of records (CSV or Parquet), by a YAML DECLARATION."""
    from crm_pipeline.lib.identity.record_table import resolve_record_table

    click.echo(resolve_record_table(table, declaration, engine, out, truth))


@identity.command()
@home_option
@click.option("--limit", default=50, show_default=True, help="How many, the likeliest first.")
def loose(home: Path, limit: int) -> None:
    """Accounts nothing links, and who they might be: for review, used nowhere else."""
    import duckdb

    from crm_pipeline.lib.errors import WarehouseError
    from crm_pipeline.lib.warehouse import open_warehouse

    query = """
        select
            channel || ':' || source_customer_id,
            linked_channel || ':' || linked_source_customer_id,
            confidence_class, match_probability, rival_count, evidence
        from marts.loose_links
        order by match_probability desc, rival_count, 1, 2
        limit ?
    """
    with open_warehouse(open_home(home).warehouse, read_only=True) as connection:
        try:
            rows = connection.execute(query, [limit]).fetchall()
        except duckdb.CatalogException as error:
            raise WarehouseError("no list has been built yet", remedy="run `crm run`") from error
    for left, right, confidence, probability, rivals, evidence in rows:
        beside = f", {rivals} rivals" if rivals else ""
        click.echo(f"{left}  {right}  {confidence} {probability:.3f}{beside}  ({evidence})")
    if not rows:
        click.echo("no loose links: loose_links_job makes the list, the next night shows it")


def _proposed(
    kind: str | None, left: str | None, right: str | None, file: Path | None
) -> list[Override]:
    from crm_pipeline.lib.identity.overrides import Override, read_override_file

    if file is not None and kind is None:
        return read_override_file(file)
    if file is None and kind and left and right:
        named = kind.replace("-", "_")
        return [Override.of(named, left, right, "preview", "not decided yet")]
    raise click.UsageError("give either KIND LEFT RIGHT or --file")


def _record(home: CrmHome, decided: list[Override]) -> None:
    from crm_pipeline.lib.identity.ids import read_accounts
    from crm_pipeline.lib.identity.overrides import record_overrides
    from crm_pipeline.lib.ledger import open_ledger

    ledger = open_ledger(home)
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    count = record_overrides(ledger, decided, decided_at=now)
    known = read_accounts(home, ledger)
    columns = (known["channel"].to_pylist(), known["source_customer_id"].to_pylist())
    seen = set(zip(*columns, strict=True))
    for account in sorted({end for one in decided for end in (one.left, one.right)}):
        if (account.channel, account.source_customer_id) not in seen:
            click.echo(f"note: no account {account} has been seen yet; the decision waits for it")
    already = len(decided) - count
    said = f"{count} recorded" + (f", {already} stood already" if already else "")
    click.echo(f"{said}. The next run applies them; `crm identity preview` shows what they change")


def _tell_preview(found: MergePreview, currency: str) -> None:
    for note in found.not_used:
        click.echo(f"no effect: {note}")
    if not found.changes:
        click.echo(f"As of {found.as_of} nothing would change.")
        return
    click.echo(f"As of {found.as_of} {len(found.changes)} accounts would change their customer:")
    for row in found.changes:
        account = f"{row['channel']}:{row['source_customer_id']}"
        click.echo(
            f"  {row['change_kind']:<5}  {account}  {row['from_customer_id']} -> "
            f"{row['to_customer_id']}"
        )
    for title, customers in (("Now", found.before), ("Then", found.after)):
        click.echo(f"{title}:")
        for customer in customers:
            click.echo(f"  {_tell_customer(customer, currency)}")
    click.echo(f"Tiers of other customers that would change: {found.other_tier_changes}")


def _tell_customer(customer: CustomerFigures, currency: str) -> str:
    spend = customer.spend_amount
    return (
        f"{customer.customer_id}  {customer.account_count} accounts, "
        f"{customer.order_count} orders, "
        f"{'unconverted spend' if spend is None else f'{spend:.2f} {currency}'}, "
        f"{customer.rfm_tier}"
    )
