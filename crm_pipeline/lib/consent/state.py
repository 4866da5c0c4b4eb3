"""What the events of a contact add up to.

Add here: the rule which event counts.
Not here: posting events (``ledger``), choosing contacts (``dbt_project``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from crm_pipeline.lib.consent.ledger import ANY
from crm_pipeline.lib.ledger.schema import consents
from crm_pipeline.lib.ledger.statements import fill_temporary, temporary_table

Account = tuple[str, str]  # channel, source_customer_id
CHUNK = 400  # SQLite allows some 30,000 variables in a statement; short ones plan faster
_ASKED = temporary_table("asked_contacts", "person_id", "contact_token")
_OWNED = temporary_table("asked_accounts", "person_id", "channel", "source_customer_id")


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


def find_usable(
    connection: sa.Connection,
    contacts: Iterable[tuple[str, str]],
    accounts: Mapping[str, Collection[Account]],
    purpose: str,
    consent_channel: str,
) -> set[tuple[str, str]]:
    """The contacts a message may go to, read in the caller's transaction: the strictest word wins.

    The person's own last word on the contact is a grant. Since then the person withdrew by no
    contact that did not come back, and nobody withdrew this one.

    Args:
        connection: the ledger's.
        contacts: pairs of a person and a contact token.
        accounts: every account of each person; a person without any gave no consent.
        purpose: what the message is for.
        consent_channel: the way it is sent.
    """
    asked = [{"person_id": person, "contact_token": token} for person, token in set(contacts)]
    owned = [
        {"person_id": person, "channel": channel, "source_customer_id": source}
        for person in {row["person_id"] for row in asked}
        for channel, source in set(accounts.get(person, ()))
    ]
    with fill_temporary(connection, _ASKED, asked), fill_temporary(connection, _OWNED, owned):
        query = usable_contacts(_ASKED, _OWNED, purpose, consent_channel)
        return {(row.person_id, row.contact_token) for row in connection.execute(query)}


def usable_contacts(
    asked: sa.FromClause, owned: sa.FromClause, purpose: str, consent_channel: str
) -> sa.Select:
    """The query of :func:`find_usable`: the rows of ``asked`` that may be written to.

    Args:
        asked: ``person_id, contact_token``.
        owned: ``person_id, channel, source_customer_id``, one row per account.
        purpose: what the message is for.
        consent_channel: the way it is sent.
    """
    words = _last_words(asked, owned, purpose, consent_channel)
    own = _own_words(words, owned)
    granted = (
        sa.select(asked.c.person_id, asked.c.contact_token, own.c.occurred_at)
        .join(
            own,
            sa.and_(
                own.c.person_id == asked.c.person_id,
                own.c.contact_token == asked.c.contact_token,
            ),
        )
        .where(own.c.is_granted.is_(True))
        .distinct()
        .cte("granted")
    )
    by_person = sa.exists().where(
        own.c.person_id == granted.c.person_id,
        own.c.is_granted.is_(False),
        own.c.occurred_at >= granted.c.occurred_at,
    )
    by_contact = sa.exists().where(
        words.c.contact_token == granted.c.contact_token,
        words.c.is_granted.is_(False),
        words.c.occurred_at >= granted.c.occurred_at,
    )
    return sa.select(granted.c.person_id, granted.c.contact_token).where(~by_person, ~by_contact)


def _last_words(
    asked: sa.FromClause, owned: sa.FromClause, purpose: str, consent_channel: str
) -> sa.CTE:
    """What each account said last about a contact, where either of them is asked for.

    Of two words at one moment the withdrawal counts.
    """
    about = _is_about(purpose, consent_channel)
    # Two branches, because one condition with "or" would use neither index.
    by_contact = sa.select(*_WORD).where(
        about, consents.c.contact_token.in_(sa.select(asked.c.contact_token))
    )
    by_account = (
        sa.select(*_WORD)
        .join(
            owned,
            sa.and_(
                consents.c.source_customer_id == owned.c.source_customer_id,
                consents.c.channel == owned.c.channel,
            ),
        )
        .where(about)
    )
    found = sa.union(by_contact, by_account).subquery()
    rank = sa.func.row_number().over(
        partition_by=(found.c.contact_token, found.c.channel, found.c.source_customer_id),
        order_by=(found.c.occurred_at.desc(), found.c.is_granted, found.c.event_id),
    )
    ranked = sa.select(found, rank.label("place")).subquery()
    return sa.select(ranked).where(ranked.c.place == 1).cte("words")


def _own_words(words: sa.CTE, owned: sa.FromClause) -> sa.CTE:
    """What each person said last about a contact, by whichever account."""
    by = (owned.c.person_id, words.c.contact_token)
    rank = sa.func.row_number().over(
        partition_by=by,
        order_by=(words.c.occurred_at.desc(), words.c.is_granted, words.c.channel,
                  words.c.source_customer_id),
    )  # fmt: skip
    ranked = (
        sa.select(*by, words.c.is_granted, words.c.occurred_at, rank.label("own_place"))
        .join(
            owned,
            sa.and_(
                owned.c.channel == words.c.channel,
                owned.c.source_customer_id == words.c.source_customer_id,
            ),
        )
        .subquery()
    )
    return sa.select(ranked).where(ranked.c.own_place == 1).cte("own_words")


_WORD = (
    consents.c.contact_token,
    consents.c.channel,
    consents.c.source_customer_id,
    consents.c.is_granted,
    consents.c.occurred_at,
    consents.c.event_id,
)


def _is_about(purpose: str, consent_channel: str) -> sa.ColumnElement[bool]:
    """A withdrawal of every purpose or channel counts for each; a grant only where given."""
    exact = sa.and_(consents.c.purpose == purpose, consents.c.consent_channel == consent_channel)
    sweeping = sa.and_(
        consents.c.is_granted.is_(False),
        consents.c.purpose.in_((purpose, ANY)),
        consents.c.consent_channel.in_((consent_channel, ANY)),
    )
    return sa.or_(exact, sweeping)


def _events(purpose: str, consent_channel: str) -> sa.Select:
    """Events in the order of their weight, the one that counts first."""
    return (
        sa.select(consents)
        .where(_is_about(purpose, consent_channel))
        .order_by(
            consents.c.contact_token,
            consents.c.occurred_at.desc(),
            consents.c.is_granted,
            consents.c.event_id,
        )
    )
