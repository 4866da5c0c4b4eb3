"""Who would move if a rule were changed, before anybody changes it.

Add here: a figure people want to see first.
Not here: the rules that make it (dbt), how it is told (``preview_text``, ``preview_page``).

The edited tables are laid over a copy of the dbt project and checked as the present ones are. Then
the models between them and the tiers and tags are built in a copy of the warehouse, percentiles
and all: what is shown is what the next run would make, and nothing of it stays.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from crm_pipeline.lib.dbt_manifest import digest_project, ensure_manifest
from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.rules.edits import RowEdit, compare_tables, is_same_table, lay_over
from crm_pipeline.lib.rules.seeds import validate_rules
from crm_pipeline.lib.rules.table import refuse_problems
from crm_pipeline.lib.warehouse import open_warehouse
from crm_pipeline.lib.warehouse.connection import fetch_row
from crm_pipeline.lib.warehouse.preview import copy_warehouse, run_dbt_in_copy

TIERS, TAGS = "rfm_tiers", "customer_tags"
NO_TAGS = "select null::varchar as customer_id, null::varchar as tag where false"

_KEEP_BEFORE = """
create or replace schema preview_before;
create table preview_before.rfm_tiers as
select customer_id, rfm_tier, tier_rule_id from marts.rfm_tiers;
create table preview_before.customer_tags as select distinct customer_id, tag from ({tags});
"""
_AFTER = """
create temp table tier_moves as
select
    t.customer_id,
    coalesce(b.rfm_tier, '') as from_tier,
    coalesce(t.rfm_tier, '') as to_tier,
    b.tier_rule_id as from_rule,
    t.tier_rule_id as to_rule,
    t.days_since_last_order,
    t.order_count_in_window,
    t.spend_amount_in_window
from marts.rfm_tiers as t
left join preview_before.rfm_tiers as b using (customer_id);
create temp table tag_moves as
with after as (select distinct customer_id, tag from ({tags}))
select
    coalesce(a.customer_id, b.customer_id) as customer_id,
    coalesce(a.tag, b.tag) as tag,
    b.tag is null as is_gained
from after as a
full join preview_before.customer_tags as b on a.customer_id = b.customer_id and a.tag = b.tag
where a.tag is null or b.tag is null;
"""
_MATRIX = """
select from_tier, to_tier, count(*), coalesce(sum(spend_amount_in_window), 0)::decimal(18, 2)
from tier_moves group by all order by 1, 2
"""
_TAGS = """
select tag, count(*) filter (is_gained), count(*) filter (not is_gained)
from tag_moves group by tag order by count(*) desc, tag
"""
_COUNTS = """
select
    (select count(*) from tier_moves),
    (select count(*) from tier_moves where from_tier <> to_tier),
    (select count(distinct customer_id) from tag_moves),
    (select coalesce(min(ladder), '') from marts.rfm_tiers)
"""
_CUSTOMERS = """
with tags as (
    select
        customer_id,
        coalesce(string_agg(tag, ' ' order by tag) filter (is_gained), '') as gained,
        coalesce(string_agg(tag, ' ' order by tag) filter (not is_gained), '') as lost
    from tag_moves
    group by customer_id
)
select
    m.customer_id, m.days_since_last_order, m.order_count_in_window, m.spend_amount_in_window,
    m.from_tier, m.to_tier, coalesce(m.from_rule, ''), coalesce(m.to_rule, ''),
    coalesce(t.gained, ''), coalesce(t.lost, '')
from tier_moves as m
left join tags as t using (customer_id)
where m.from_tier <> m.to_tier or t.customer_id is not null
order by m.spend_amount_in_window desc nulls last, m.customer_id
limit ?
"""


@dataclass(frozen=True)
class TierMove:
    """Customers who are in one tier now and in another (or the same) with the edited rules."""

    from_tier: str
    to_tier: str
    customer_count: int
    spend_amount: Decimal  # in the window of the ladder


@dataclass(frozen=True)
class TagMove:
    """How many customers would gain or lose a tag."""

    tag: str
    gained_count: int
    lost_count: int


@dataclass(frozen=True)
class MovedCustomer:
    """One customer who would move, with the figures the ladder looks at."""

    customer_id: str
    days_since_last_order: int
    order_count: int
    spend_amount: Decimal | None
    from_tier: str
    to_tier: str
    from_rule: str
    to_rule: str
    gained_tags: str
    lost_tags: str


@dataclass(frozen=True)
class RulePreview:
    """What the edited rules would change.

    Attributes:
        as_of: the business day the figures are of.
        currency: of the spend.
        ladder: which ladder gives the tiers.
        edits: the rows that differ.
        models: what was built to see it; none, when nothing shown here reads the edited tables.
        has_tags: whether there are tags at all.
        customer_count: all customers.
        moved_count: of them, those whose tier would change.
        retagged_count: those who would gain or lose a tag.
        matrix: every pair of tiers with customers, those who stay included.
        tags: tags somebody would gain or lose.
        customers: the first of those who would move, by spend.
    """

    as_of: dt.date
    currency: str
    ladder: str
    edits: tuple[RowEdit, ...]
    models: tuple[str, ...]
    has_tags: bool
    customer_count: int
    moved_count: int
    retagged_count: int
    matrix: tuple[TierMove, ...]
    tags: tuple[TagMove, ...]
    customers: tuple[MovedCustomer, ...]


def preview_rules(
    home: CrmHome,
    edited: Path,
    *,
    project: Path,
    channels: Collection[str],
    told: Mapping[str, str],
    currency: str,
    limit: int,
    run: Callable[..., None] = run_dbt_in_copy,
) -> RulePreview:
    """What the rule tables in ``edited`` would change in tiers and tags.

    Args:
        home: its warehouse is read, never written.
        edited: folder of edited tables, named as the present ones.
        project: folder of the dbt project; its tables are the present ones.
        channels: the channels there are, which a rule may name.
        told: what a run tells dbt by environment, but for the day.
        currency: of the home's figures.
        limit: how many customers are listed.
        run: runs dbt in the copy.

    Raises:
        RuleError: an edited table is refused; every problem is named with row and column.
        WarehouseError: there is no build, or it was made with other rules than the present ones.
    """
    with tempfile.TemporaryDirectory(prefix="crm-rules-") as folder:
        tried = Path(folder) / project.name
        shutil.copytree(project, tried, ignore=shutil.ignore_patterns("target", "logs"))
        names = lay_over(edited, tried / "seeds")
        problems = validate_rules(tried / "seeds", channels=channels)
        refuse_problems(problems, "the edited rule tables", edited)
        present = project / "seeds"
        edits = [edit for n in names for edit in compare_tables(present / n, tried / "seeds" / n)]
        changed = sorted({Path(edit.table).stem for edit in edits})
        selected = _models_between(ensure_manifest(project), changed)
        with copy_warehouse(home, holder="preview of rules") as (copy, as_of):
            with open_warehouse(copy) as connection:
                _refuse_other_rules(connection, present, changed)
                _run_script(connection, _KEEP_BEFORE.format(tags=_tags_of(connection)))
            if selected:
                # Stepped tables are made anew when the rules are other ones, as in a run.
                settings = {**told, "CRM_DBT_CODE": digest_project(tried)}
                chosen = ("build", "--select", *selected, "--exclude-resource-type",
                          "test", "unit_test")  # fmt: skip
                run(copy, as_of, chosen, project=tried, told=settings)
            with open_warehouse(copy) as connection:
                return _compare(connection, as_of, currency, edits, selected, limit)


def _models_between(manifest: Path, changed: Sequence[str]) -> tuple[str, ...]:
    """The changed tables and the models from them to tiers and tags, and no others."""
    parsed = json.loads(manifest.read_text(encoding="utf-8"))
    kinds = ("model", "seed")
    names = {
        key: node["name"] for key, node in parsed["nodes"].items() if node["resource_type"] in kinds
    }

    def reach(start: list[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
        seen: set[str] = set()
        waiting = list(start)
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting.extend(one for one in edges.get(node, ()) if one in names)
        return seen

    ends = [key for key, name in names.items() if name in (TIERS, TAGS)]
    starts = [key for key, name in names.items() if key.startswith("seed.") and name in changed]
    between = reach(starts, parsed["child_map"]) & reach(ends, parsed["parent_map"])
    return tuple(sorted(names[key] for key in between))


def _refuse_other_rules(
    connection: duckdb.DuckDBPyConnection, present: Path, changed: Sequence[str]
) -> None:
    """What the edit moves is told apart from what the next run would move anyway."""
    for name in changed:
        try:
            found = connection.execute(f'select * from rules."{name}"')
            columns = [column[0] for column in found.description or []]
            is_built = is_same_table(present / f"{name}.csv", columns, found.fetchall())
        except duckdb.CatalogException:
            is_built = False
        if not is_built:
            raise WarehouseError(
                f"the warehouse was built with another {name}.csv than the one in place now",
                where=str(present / f"{name}.csv"),
                remedy="run `crm run` first: then what moves is moved by the edited rows alone",
            )


def _tags_of(connection: duckdb.DuckDBPyConnection) -> str:
    (found,) = fetch_row(
        connection,
        "select count(*) from information_schema.tables where table_catalog = current_database() "
        "and table_schema = 'marts' and table_name = ?",
        [TAGS],
    )
    return f"select customer_id, tag from marts.{TAGS}" if found else NO_TAGS


def _run_script(connection: duckdb.DuckDBPyConnection, script: str) -> None:
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)


def _compare(
    connection: duckdb.DuckDBPyConnection,
    as_of: dt.date,
    currency: str,
    edits: Sequence[RowEdit],
    models: tuple[str, ...],
    limit: int,
) -> RulePreview:
    tags = _tags_of(connection)
    _run_script(connection, _AFTER.format(tags=tags))
    customers, moved, retagged, ladder = fetch_row(connection, _COUNTS)
    return RulePreview(
        as_of,
        currency,
        ladder,
        tuple(edits),
        models,
        tags != NO_TAGS,
        customers,
        moved,
        retagged,
        tuple(TierMove(*row) for row in connection.execute(_MATRIX).fetchall()),
        tuple(TagMove(*row) for row in connection.execute(_TAGS).fetchall()),
        tuple(MovedCustomer(*row) for row in connection.execute(_CUSTOMERS, [limit]).fetchall()),
    )
