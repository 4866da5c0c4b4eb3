"""What the events of a contact add up to.

Add here: the rule which event counts.
Not here: posting events (``ledger``), choosing contacts (``dbt_project``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from crm_pipeline.lib.consent.ledger import ANY
from crm_pipeline.lib.ledger.schema import consents

CHUNK = 400  # SQLite allows some 30,000 variables in a statement; short ones plan faster


@dataclass(frozen=True)
class ConsentState:
    """The event that counts for a contact, a purpose and a channel."""

    contact_token: str
    is_granted: bool
    occurred_at: dt.datetime
    event_id: str


def current_consent(
    connection: sa.Connection, contact_token: str, purpose: str, consent_channel: str
) -> ConsentState | None:
    """The state of one contact now; None when it never said anything."""
    return find_consents(connection, [contact_token], purpose, consent_channel).get(contact_token)


def find_consents(
    connection: sa.Connection, tokens: Iterable[str], purpose: str, consent_channel: str
) -> dict[str, ConsentState]:
    """The state of many contacts, read in the caller's transaction.

    The latest event counts; of two at one moment the withdrawal. A withdrawal of every purpose or
    of every channel counts for this one too; a grant counts only where it was given.
    """
    wanted = sorted(set(tokens))
    states: dict[str, ConsentState] = {}
    for start in range(0, len(wanted), CHUNK):
        query = _events(purpose, consent_channel).where(
            consents.c.contact_token.in_(wanted[start : start + CHUNK])
        )
        for row in connection.execute(query):
            states.setdefault(
                row.contact_token,
                ConsentState(row.contact_token, row.is_granted, row.occurred_at, row.event_id),
            )
    return states


def find_withdrawals(
    connection: sa.Connection, accounts: Iterable[tuple[str, str]], purpose: str, channel: str
) -> dict[tuple[str, str], dt.datetime]:
    """The last standing withdrawal of each account, by any of its contacts.

    A contact whose last word is a grant does not count: the person came back.
    """
    found: dict[tuple[str, str], dt.datetime] = {}
    tokens: dict[str, set[tuple[str, str]]] = {}
    wanted = set(accounts)
    sources = sorted({source for _, source in wanted})
    for start in range(0, len(sources), CHUNK):
        query = sa.select(
            consents.c.channel, consents.c.source_customer_id, consents.c.contact_token
        ).where(consents.c.source_customer_id.in_(sources[start : start + CHUNK]))
        for account_channel, source, token in connection.execute(query.distinct()):
            if (account_channel, source) in wanted:
                tokens.setdefault(token, set()).add((account_channel, source))
    for token, state in find_consents(connection, tokens, purpose, channel).items():
        if state.is_granted:
            continue
        for account in tokens[token]:
            known = found.get(account)
            found[account] = max(known, state.occurred_at) if known else state.occurred_at
    return found


def _events(purpose: str, consent_channel: str) -> sa.Select:
    """Events in the order of their weight, the one that counts first."""
    exact = sa.and_(consents.c.purpose == purpose, consents.c.consent_channel == consent_channel)
    sweeping = sa.and_(
        consents.c.is_granted.is_(False),
        consents.c.purpose.in_((purpose, ANY)),
        consents.c.consent_channel.in_((consent_channel, ANY)),
    )
    return (
        sa.select(consents)
        .where(sa.or_(exact, sweeping))
        .order_by(
            consents.c.contact_token,
            consents.c.occurred_at.desc(),
            consents.c.is_granted,
            consents.c.event_id,
        )
    )
