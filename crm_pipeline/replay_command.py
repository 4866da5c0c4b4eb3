"""``crm replay --as-of``: a past night decided and planned again.

Add here: what the command says.
Not here: deciding (``lib/outreach/replay``), reading raw files again (``run_command``).
"""

from __future__ import annotations

import os
from datetime import date

import pyarrow as pa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.outreach.content import load_content, render_messages
from crm_pipeline.lib.outreach.plan import make_plan
from crm_pipeline.lib.outreach.replay import replay_decisions, replay_plans
from crm_pipeline.lib.settings import resolve
from crm_pipeline.run_command import PROJECT_SEEDS


def replay_night(home: CrmHome, as_of: date) -> bool:
    """Says whether decisions and batch plans of a night come out to the byte; changes nothing."""
    ledger = open_ledger(home)
    decided = replay_decisions(home, ledger, as_of)
    what = f"{decided.decision_count:,} decisions of {as_of}"
    if decided.difference is not None:
        print(f"{what} come out differently: {decided.difference}")
        return False
    print(f"{what} come out the same, byte for byte ({decided.sha256[:12]})")
    library, brand = load_content(PROJECT_SEEDS), resolve(home, env=os.environ).brand or ""

    def plan_of(decisions: pa.Table) -> pa.Table:
        return make_plan(render_messages(decisions, library, brand).messages)

    is_same = True
    for one in replay_plans(home, ledger, as_of, plan_of):
        what = f"{one.journey}: the plan of {one.message_count:,} messages"
        is_same &= one.difference is None
        print(f"{what} {'is the same' if one.difference is None else 'differs: ' + one.difference}")
    return is_same
