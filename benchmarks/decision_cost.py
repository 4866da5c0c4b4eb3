"""What deciding for a million candidates costs beside a script written by hand for this night.

Add here: what a night of decisions costs. Not here: claims and files (``delivery_cost``).

Run: ``python -m benchmarks.decision_cost --candidates 1000000``.

The script knows the four journeys, the caps and the world by heart, and writes the same table of
decisions; both must give every candidate the same outcome, rule, channel and moment. Each side runs
in a process of its own, so that its memory is seen; ratios are of CPU time.
"""

import argparse
import datetime as dt
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from benchmarks.measure import run_measured
from crm_pipeline.lib.outreach.decisions import decide_all
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.moments import night_of
from crm_pipeline.lib.warehouse import open_warehouse

ROOT = Path(__file__).resolve().parents[1]
SQL = Path(__file__).with_name("decision_cost.sql")
AS_OF, ZONE, SALT = dt.date(2024, 6, 30), ZoneInfo("Asia/Shanghai"), "a salt"
TARGET = 1.5
JOURNEYS = {"win_back": (80, ("sms", "email")), "birthday": (60, ("email",)),
            "weather": (40, ("email", "sms")), "festival": (20, ("email",))}  # fmt: skip

WORLD = """
create schema activation; create schema rules; create schema ledger; create schema identity;
create schema history;
create table activation.outreach_customers as
select 'c' || i as customer_id,
    case when i % 20 = 0 then 'Europe/London' else 'Asia/Shanghai' end as timezone,
    case when i % 20 = 0 then 'en' else 'zh-CN' end as language, 'core' as rfm_tier,
    case when i % 100 = 7 then 'suppression.restriction' end as suppression_rule,
    case when i % 50 = 3 then timestamp '2024-06-29 08:00:00' end as open_complaint_since,
    'g' || i % 500 as guide_id, 1.0 as predicted_clv
from range($customers) as t (i);
create table activation.outreach_contacts as
select 'c' || i as customer_id, 'marketing' as purpose, way as consent_channel,
    'k1_' || way || md5(i::varchar) as contact_token, '***' as contact_mask,
    hash_of < 80 as is_usable, hash_of < 90 as is_granted,
    timestamp '2024-01-01 00:00:00' + to_hours((i % 4000)::integer) as occurred_at,
    '1' as notice_version, case when i % 40 = 11 then 'reach.failed' end as reach_rule,
    null::varchar as fatigue_rule, null::integer as best_hour
from (
    select i, way, (i * 7919 + length(way) * 104729) % 100 as hash_of
    from range($customers) as t (i), (values ('email'), ('sms')) as w (way)
);
create table activation.outreach_sent_messages (customer_id varchar, consent_channel varchar,
    message_tag varchar, sent_at timestamp, message_id varchar, journey varchar);
create table activation.outreach_offers (sku varchar, available_quantity bigint,
    counted_at timestamp, price_amount decimal(18,6), currency varchar);
create table ledger.consents as
select contact_token, 'app' as channel, customer_id as source_customer_id, purpose,
    consent_channel, is_granted, occurred_at, timestamp '2024-06-30 10:00:00' as known_at
from activation.outreach_contacts where occurred_at < timestamp '2024-02-01';
create table ledger.claims as
select md5('m' || i || '-' || n) as claim_id, 'd' || i || '-' || n as decision_id,
    'k1_email' || md5((i * 3)::varchar) as contact_token, 'c' || (i * 3) as person_id,
    case when i % 10 = 0 then 'birthday' else 'other' end as journey, 'first' as step,
    case when i % 10 = 0 then 'o1' else 'x' || i end as occurrence, 'email' as consent_channel,
    'marketing' as purpose, 'promotion' as message_tag,
    timestamp '2024-06-30 02:00:00' - to_days((n * 2)::integer) as planned_send_at,
    'sent' as state, date '2024-06-29' - (n * 2)::integer as as_of_date, 'nightly' as run_kind
from range($customers // 6) as t (i), range(3) as r (n) where n <= i % 3;
create table identity.customer_id_changes (channel varchar, source_customer_id varchar,
    from_customer_id varchar, as_of_date date, version bigint);
create table identity.customer_accounts as
select 'app' as channel, customer_id as source_customer_id, customer_id
from activation.outreach_customers;
create table history.outreach_decisions (decision_id varchar, guide_id varchar, outcome varchar,
    as_of_date date);
create table history.outreach_trigger_decisions as from history.outreach_decisions;
create table rules.outreach_caps as select * from (values ('all_day', 'all', 'all', 1, 1),
    ('all_week', 'all', 'all', 7, 3))
    as t (cap_id, consent_channel, message_tag, window_days, max_messages);
create table rules.channel_policies as select * from (values ('email', 0.002), ('sms', 0.045))
    as t (consent_channel, unit_cost_amount), (values ('22:00', '08:00', 'CNY', null::bigint,
    null::bigint)) as u (quiet_from, quiet_until, currency, daily_quota, advisor_daily_quota);
create table rules.outreach_budgets (budget_id varchar, scope varchar, scope_name varchar,
    window_days integer, amount decimal(18,2), currency varchar);
create table rules.outreach_gates as select 'consent' as gate_id, 336 as max_age_hours;
create table rules.quiet_days (quiet_date date, timezone varchar);
create table rules.content_library as
select scene || way || spoken as content_id, scene, 'all' as rfm_tier, way as consent_channel,
    spoken as language, '1' as content_version, 'Hello' as subject, 'Hello' as body
from (values ('win_back_first'), ('birthday_first'), ('weather_first'), ('festival_first'))
    as s (scene), (values ('email'), ('sms')) as w (way), (values ('zh-CN'), ('en')) as l (spoken);
"""


def main() -> int:
    """Print every figure and the ratio. Nothing fails for being slow: machines differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=1_000_000, help="rows of all audiences")
    parser.add_argument("--turns", type=int, default=3, help="times each side is measured")
    parser.add_argument("--side", choices=("ours", "script"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        decide(options.folder, options.side)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_world(folder / "crm.duckdb", options.candidates)
        figures = {side: measure(folder, side, options.turns) for side in ("script", "ours")}
        compare(folder)
        ratio = figures["ours"] / figures["script"]
        verdict = "held" if ratio <= TARGET else "MISSED"
        print(f"target decisions ≤ {TARGET} × script: {ratio:.2f} × {verdict}", flush=True)
    return 0


def journeys() -> list[JourneySpec]:
    """Four journeys of one step each; their worths differ, so that no choice is a tie."""
    return [
        JourneySpec.model_validate({
            "journey": name, "description": "x", "audience": f"activation.{name}_audience",
            "priority": priority, "variables": ["product_name"],
            "steps": [{"step": "first", "channels": list(channels)}],
        })
        for name, (priority, channels) in JOURNEYS.items()
    ]  # fmt: skip


def make_world(path: Path, candidates: int) -> None:
    """Every customer is in half of the audiences: half of them are contested."""
    customers = candidates // 2
    with open_warehouse(path) as connection:
        for statement in WORLD.replace("$customers", str(customers)).split(";\n"):
            if statement.strip():
                connection.execute(statement)
        for place, name in enumerate(JOURNEYS):
            connection.execute(
                f"create table activation.{name}_audience as "
                "select customer_id, 'o1' as occurrence, timestamp '2024-06-30 03:00:00' "
                "- to_hours((i % 90)::integer) as triggered_at, "
                "'marketing' as purpose, 'Tea' as product_name from (select customer_id, "
                "row_number() over () - 1 as i from activation.outreach_customers) "
                f"where (i // {place % 2 + 1} + {place // 2}) % 2 = 0"
            )


def decide(folder: Path, side: str) -> None:
    """One side, once; prints the seconds of CPU it took without the start of Python."""
    with open_warehouse(folder / "crm.duckdb") as connection:
        cpu, wall = time.process_time(), time.perf_counter()
        if side == "ours":
            table = decide_all(
                connection, journeys(), moment=night_of(AS_OF, ZONE), zone=ZONE, salt=SALT
            )
        else:
            table = connection.sql(SQL.read_text(encoding="utf-8")).to_arrow_table()
        print(time.process_time() - cpu, time.perf_counter() - wall, flush=True)
        connection.register("made", table)
        connection.execute(f"copy made to '{folder / side}.parquet'")


def measure(folder: Path, side: str, turns: int) -> float:
    """Median CPU seconds; prints them with wall time and memory."""
    seconds, walls, peak = [], [], 0
    for _ in range(turns):
        command = [sys.executable, "-m", "benchmarks.decision_cost", "--side", side]
        ran = run_measured([*command, "--folder", str(folder)], folder=ROOT)
        cpu, wall = (float(text) for text in ran.output.split()[:2])
        seconds.append(cpu)
        walls.append(wall)
        peak = max(peak, ran.peak_rss_bytes)
    listed = ", ".join(f"{one:.2f}" for one in seconds)
    middle = statistics.median(seconds)
    print(
        f"{side:7} {middle:7.2f} s CPU ({listed}), {statistics.median(walls):7.2f} s wall, "
        f"peak {peak / 2**20:,.0f} MiB, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return middle


def compare(folder: Path) -> None:
    """Prints the outcomes, and stops when the two sides differ.

    Raises:
        RuntimeError: they decided differently.
    """
    columns = "decision_id, outcome, rule_id, consent_channel, planned_send_at"
    ours, script = (f"select {columns} from '{folder / s}.parquet'" for s in ("ours", "script"))
    with duckdb.connect() as connection:
        differing = connection.sql(
            f"(({ours}) except ({script})) union all (({script}) except ({ours}))"
        ).fetchall()
        told = connection.sql(
            f"select outcome, rule_id, count(*) from ({ours}) group by all order by all"
        ).fetchall()
    for outcome, rule, count in told:
        print(f"  {outcome:24} {rule:26} {count:>9,}", flush=True)
    if differing:
        raise RuntimeError(f"{len(differing)} decisions differ, such as {differing[0]}")


if __name__ == "__main__":
    sys.exit(main())
