"""Who would move, on the terminal.

Add here: a line of the text.
Not here: figures (``preview``), the page (``preview_page``).
"""

from __future__ import annotations

from collections.abc import Iterator

from crm_pipeline.lib.reporting.summary import table
from crm_pipeline.lib.rules.edits import RowEdit
from crm_pipeline.lib.rules.preview import RulePreview


def tell_preview(found: RulePreview) -> str:
    """The preview as text."""
    return "\n".join(_lines(found))


def _lines(found: RulePreview) -> Iterator[str]:
    if not found.edits:
        yield "No row differs from the rules in place, so nobody would move."
        return
    yield f"Rows that differ: {len(found.edits)}"
    yield from (f"  {tell_edit(edit)}" for edit in found.edits)
    if not found.models:
        yield "No provisional tier and no tag is made from these tables. What else follows"
        yield "from them, such as official tiers or stages, is not previewed."
        return
    yield f"\nAs of {found.as_of}, of {found.customer_count:,} customers:"
    yield f"  {found.moved_count:,} would change their tier"
    if found.has_tags:
        yield f"  {found.retagged_count:,} would gain or lose a tag"
    if found.moved_count:
        yield f"\nTiers, and spend in {found.currency} of those who would move"
        moves = [
            (f"{move.from_tier} -> {move.to_tier}", move.customer_count, f"{move.spend_amount:,}")
            for move in found.matrix
            if move.from_tier != move.to_tier
        ]
        yield from table(("from -> to", "customers", "spend"), moves, indent="  ")
    if found.tags:
        yield "\nTags"
        rows = [(move.tag, move.gained_count, move.lost_count) for move in found.tags]
        yield from table(("tag", "gained by", "lost by"), rows, indent="  ")
    if found.customers:
        yield from _customers(found)


def _customers(found: RulePreview) -> Iterator[str]:
    yield f"\nThe first {len(found.customers)} by spend (R days, F orders, M {found.currency})"
    rows = [
        (
            customer.customer_id,
            customer.days_since_last_order,
            customer.order_count,
            "unknown" if customer.spend_amount is None else f"{customer.spend_amount:,}",
            f"{customer.from_rule} -> {customer.to_rule}",
            " ".join(
                [*(f"+{one}" for one in customer.gained_tags.split())]
                + [f"-{one}" for one in customer.lost_tags.split()]
            ),
        )
        for customer in found.customers
    ]
    yield from table(("customer", "R", "F", "M", "rule", "tags"), rows, indent="  ")


def tell_edit(edit: RowEdit) -> str:
    """One differing row as a person would say it."""
    if edit.kind == "changed":
        cells = ", ".join(
            f"{name} {old or '(empty)'} -> {new or '(empty)'}" for name, old, new in edit.cells
        )
    else:
        cells = ", ".join(f"{name} {old or new}" for name, old, new in edit.cells)
    return f"{edit.table}, row {edit.row_number}, {edit.key}: {edit.kind} ({cells})"
