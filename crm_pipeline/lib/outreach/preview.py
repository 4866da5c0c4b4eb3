"""What a batch would do, before anybody approves it.

Add here: figures and samples an operator should see.
Not here: approving (``life``).
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import audit
from crm_pipeline.lib.outreach.audit import write_audit
from crm_pipeline.lib.outreach.claims import count_unclaimable
from crm_pipeline.lib.outreach.plan import (
    Batch,
    list_batches,
    messages_of,
    read_decisions,
    read_plan,
)

SAMPLES = 3  # of every step, channel and language
PREVIEWED = "batch_previewed"
BESIDE = ("planned", "approved", "canary", "released")
KINDS = ("step", "consent_channel", "content_id", "language")


def preview_batch(
    home: CrmHome, ledger: sa.Engine, batch: Batch, *, now: dt.datetime, actor: str
) -> dict[str, Any]:
    """Size, what is suppressed and why, cost, samples, overlap and holdout; kept beside the plan.

    Contacts are masked. What a claim would leave out is asked now and may differ later.

    Raises:
        OutreachError: the plan is not what was planned.
    """
    plan = read_plan(home, batch)
    messages = messages_of(plan)
    decisions = read_decisions(home, ledger, batch)
    outcomes = _count(decisions, "outcome") if decisions is not None else {}
    found = {
        "batch_id": batch.batch_id,
        "journey": batch.journey,
        "run_kind": batch.run_kind,
        "as_of": batch.as_of_date.isoformat(),
        "state": batch.state,
        "plan_sha256": batch.plan_sha256,
        "previewed_at": now.isoformat(timespec="seconds"),
        "messages": plan.num_rows,
        "people": pc.count_distinct(plan.column("customer_id")).as_py(),
        "valid_until": batch.valid_until.isoformat(timespec="seconds"),
        "canary_pct": batch.canary_pct,
        **{f"by_{kind}": _count(plan, kind) for kind in KINDS},
        "cost_amount": str(pc.sum(plan.column("unit_cost_amount")).as_py() or 0),
        "outcomes": outcomes,
        "holdout": outcomes.get("holdout", 0),
        "texts_refused": max(outcomes.get("send", 0) - plan.num_rows, 0),
        "would_be_skipped": count_unclaimable(home, ledger, messages, now=now),
        "overlap": _find_overlap(home, ledger, batch, plan),
        "samples": _choose_samples(plan),
    }
    _keep(home, batch, found)
    failpoint("preview_written")
    with ledger.begin() as connection:
        detail = {"batch_id": batch.batch_id, "plan_sha256": batch.plan_sha256}
        write_audit(connection, now, actor, PREVIEWED, detail)
    return found


def find_readers(connection: sa.Connection, batch: Batch) -> set[str]:
    """Who previewed exactly this plan, jobs and accounts of the machine among them."""
    query = sa.select(audit.c.actor, audit.c.detail).where(
        audit.c.action == PREVIEWED, audit.c.detail.contains(batch.batch_id, autoescape=True)
    )
    plan = {"batch_id": batch.batch_id, "plan_sha256": batch.plan_sha256}
    return {row.actor for row in connection.execute(query) if json.loads(row.detail) == plan}


def find_preview(home: CrmHome, batch: Batch) -> dict[str, Any] | None:
    """The preview of exactly this plan."""
    path = home.root / batch.folder / "preview.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found.get("plan_sha256") == batch.plan_sha256 else None


def tell_preview(found: dict[str, Any]) -> str:
    """The preview as text for a terminal."""
    lines = [
        f"{found['journey']}, batch {found['batch_id']} ({found['run_kind']} of {found['as_of']}), "
        f"{found['state']}",
        f"  messages   {found['messages']:,} to {found['people']:,} people, "
        f"valid until {found['valid_until']} UTC",
        f"  canary     {found['canary_pct']:g} % go first",
        f"  cost       {found['cost_amount']}",
        f"  holdout    {found['holdout']:,} people are not written to, to measure the effect",
    ]
    for kind in KINDS:
        lines.append(f"  {kind:<15} {_tell_counts(found[f'by_{kind}'])}")
    not_sent = {name: count for name, count in found["outcomes"].items() if name != "send"}
    lines.append(f"  decided not to send   {_tell_counts(not_sent)}")
    if found["texts_refused"]:
        lines.append(f"  refused texts         {found['texts_refused']:,}")
    lines.append(f"  a claim would skip    {_tell_counts(found['would_be_skipped'])}")
    lines += [_tell_overlap(other) for other in found["overlap"]]
    for one in found["samples"]:
        lines.append(f"\n  {one['step']} by {one['consent_channel']} in {one['language']} to "
                     f"{one['contact_mask']}, {one['planned_send_at']} UTC")  # fmt: skip
        text = [one["subject"]] if one["subject"] else []
        lines += [f"    | {line}" for line in (*text, *one["body"].splitlines())]
    return "\n".join(lines)


def _tell_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "nothing"


def _count(plan: pa.Table, column: str) -> dict[str, int]:
    counts = pc.value_counts(plan.column(column)).to_pylist()
    return {one["values"]: one["counts"] for one in sorted(counts, key=lambda o: o["values"])}


def _find_overlap(
    home: CrmHome, ledger: sa.Engine, batch: Batch, plan: pa.Table
) -> list[dict[str, Any]]:
    people, found = plan.column("customer_id").unique(), []
    for other in list_batches(ledger, states=BESIDE):
        if other.batch_id == batch.batch_id or other.plan_path is None:
            continue
        told: dict[str, Any] = {
            "batch_id": other.batch_id, "journey": other.journey, "state": other.state
        }  # fmt: skip
        try:
            theirs = read_plan(home, other).column("customer_id").unique()
        except OutreachError as error:  # a lost plan of one journey stops no other
            found.append({**told, "people": None, "problem": error.what})
            continue
        both = pc.sum(pc.is_in(people, theirs)).as_py() or 0
        if both:
            found.append({**told, "people": both})
    return found


def _tell_overlap(other: dict[str, Any]) -> str:
    where = f"{other['journey']}, batch {other['batch_id']} ({other['state']})"
    if other["people"] is None:
        return f"  {where}: not compared, {other['problem']}"
    return f"  {other['people']:,} of these people are in {where} as well"


def _choose_samples(plan: pa.Table) -> list[dict[str, Any]]:
    """A few messages of each kind, the same ones every time, with masked contacts."""
    names = ["step", "consent_channel", "language", "contact_mask", "content_id", "subject",
             "body", "planned_send_at"]  # fmt: skip
    taken: Counter[Sequence[str]] = Counter()
    samples = []
    for row in plan.sort_by("message_id").select(names).to_pylist():
        kind = (row["step"], row["consent_channel"], row["language"])
        taken[kind] += 1
        if taken[kind] <= SAMPLES:
            moment = row["planned_send_at"].isoformat(timespec="seconds")
            samples.append({**row, "planned_send_at": moment})
    return sorted(samples, key=lambda row: [row[name] for name in names[:4]])


def _keep(home: CrmHome, batch: Batch, found: dict[str, Any]) -> None:
    path = home.root / batch.folder / "preview.json"
    with atomic_path(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(
            json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
