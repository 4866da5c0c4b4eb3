"""Makes up consents for the customers of the slice: the public data set has none.

Every line is invented and the addresses are on the reserved domain example.org.
Add here: who is said to have agreed to what.
Not here: which customers there are (``cut_slice.py``, run it first).

    python examples/online_retail/make_consents.py
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import datetime, timedelta

from cut_slice import CUSTOMER, HERE, ORDERED_AT, PACKED, YEAR_FILES, read_packed, write_packed

SEED = "made-up consents 1"
HEADER = (
    "CustomerID",
    "Purpose",
    "Channel",
    "Email",
    "Action",
    "At",
    "NoticeVersion",
    "Evidence",
)
FILE = "made_up_consents.csv"
# Before the last order, so that a run as of that day knows them all.
LAST_AT = datetime.fromisoformat("2011-12-05 18:00")
FIRST_AT = datetime.fromisoformat("2010-01-04 09:00")
NOTICE_CHANGED_AT = datetime.fromisoformat("2011-01-01")
MARKETING_PCT = 60
PROFILING_PCT = 25  # of those who agreed to marketing
SERVICE_ONLY_PCT = 40  # of those who did not
WITHDRAWN_PCT = 10
CAME_BACK_PCT = 20  # of those who withdrew

Event = tuple[str, str, str, str, str, str, str, str]


def roll(customer_id: str, question: str) -> int:
    """A number from 0 to 99 that depends on the customer and the question only."""
    digest = hashlib.sha256(f"{SEED}|{question}|{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100


def event(customer_id: str, purpose: str, action: str, at: datetime, evidence: str) -> Event:
    """One line of the file; the customer number goes without the ``.0`` of the order files."""
    number = customer_id.removesuffix(".0")
    notice = "2010-01" if at < NOTICE_CHANGED_AT else "2011-01"
    email = f"customer-{number}@example.org"
    return (number, purpose, "email", email, action, f"{at:%Y-%m-%d %H:%M:%S}", notice, evidence)


def events_of(customer_id: str, first_order_at: datetime) -> list[Event]:
    """All consents of one customer: asked at the first order, some change their mind later."""
    asked_at = max(first_order_at, FIRST_AT) + timedelta(minutes=5)
    asked_at = min(asked_at, LAST_AT)
    if roll(customer_id, "marketing") >= MARKETING_PCT:
        if roll(customer_id, "service") >= SERVICE_ONLY_PCT:
            return []
        return [event(customer_id, "service", "granted", asked_at, "order form")]
    events = [event(customer_id, "marketing", "granted", asked_at, "order form")]
    if roll(customer_id, "profiling") < PROFILING_PCT:
        events.append(event(customer_id, "profiling", "granted", asked_at, "order form"))
    withdrawn_at = asked_at + timedelta(days=30 + 4 * roll(customer_id, "days"), minutes=17)
    if roll(customer_id, "withdrawn") < WITHDRAWN_PCT and withdrawn_at < LAST_AT:
        events.append(event(customer_id, "marketing", "withdrawn", withdrawn_at, "link in e-mail"))
        again_at = withdrawn_at + timedelta(days=20)
        if roll(customer_id, "again") < CAME_BACK_PCT and again_at < LAST_AT:
            events.append(event(customer_id, "marketing", "granted", again_at, "account page"))
    return events


def first_orders() -> dict[str, datetime]:
    """Customer id as the order files write it -> moment of the first line."""
    first: dict[str, datetime] = {}
    for name in YEAR_FILES:
        for row in read_packed(PACKED / "online_retail" / f"{name}.gz"):
            if customer_id := row[CUSTOMER]:
                at = datetime.fromisoformat(row[ORDERED_AT])
                first[customer_id] = min(at, first.get(customer_id, at))
    return first


def describe(events: list[Event]) -> dict[str, int]:
    """Counts that any correct reading of the file gives."""
    last: dict[tuple[str, str], str] = {}
    for number, purpose, _, _, action, *_ in events:  # in order of time inside each customer
        last[number, purpose] = action
    granted = [purpose for (_, purpose), action in last.items() if action == "granted"]
    withdrawn = [purpose for (_, purpose), action in last.items() if action == "withdrawn"]
    return {
        "events": len(events),
        "customers": len({line[0] for line in events}),
        "marketing_granted_customers": granted.count("marketing"),
        "marketing_withdrawn_customers": withdrawn.count("marketing"),
        "profiling_granted_customers": granted.count("profiling"),
        "service_granted_customers": granted.count("service"),
    }


def main() -> None:
    """Writes the consent file and its counts into ``expected_totals.json``."""
    customers = sorted(first_orders().items())
    events = [line for customer, first_at in customers for line in events_of(customer, first_at)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(events)
    target = HERE / "expected_totals.json"
    totals = json.loads(target.read_text(encoding="utf-8"))
    facts = write_packed(PACKED / "online_retail_consents" / FILE, text.getvalue())
    totals["files"][f"online_retail_consents/{FILE}"] = {"received": len(events), **facts}
    totals["consents"] = describe(events)
    target.write_text(json.dumps(totals, indent=2) + "\n", encoding="utf-8")
    print(f"{len(events)} made-up consent events for {totals['consents']['customers']} customers")


if __name__ == "__main__":
    main()
