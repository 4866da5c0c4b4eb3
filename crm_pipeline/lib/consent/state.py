"""What the events of a contact add up to.

Add here: the rule which event counts.
Not here: posting events (``ledger``), choosing contacts (``dbt_project``).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from crm_pipeline.lib.consent.ledger import ANY
from crm_pipeline.lib.ledger.schema import consents

Account = tuple[str, str]  # channel, source_customer_id
_Words = dict[Account, "ConsentState"]  # what each account said last about a contact
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
    wanted = set(contacts)
    owned = {person: set(accounts.get(person, ())) for person, _ in wanted}
    named = _find_tokens(connection, {account for mine in owned.values() for account in mine})
    tokens = {token for _, token in wanted}.union(*named.values())
    words = _find_words(connection, tokens, purpose, consent_channel)
    return {
        (person, token)
        for person, token in wanted
        if _is_usable(words, token, owned[person], named)
    }


def _is_usable(
    words: Mapping[str, _Words],
    token: str,
    accounts: set[Account],
    named: Mapping[Account, set[str]],
) -> bool:
    granted = _last_word(words.get(token, {}), accounts)
    if granted is None or not granted.is_granted:
        return False
    contacts = {one for account in accounts for one in named.get(account, ())}
    own = [_last_word(words.get(one, {}), accounts) for one in contacts]
    return all(
        word is None or word.is_granted or word.occurred_at < granted.occurred_at
        for word in (*own, *words[token].values())
    )


def _find_tokens(connection: sa.Connection, accounts: set[Account]) -> dict[Account, set[str]]:
    """Every contact by which each account ever said anything."""
    tokens: dict[Account, set[str]] = defaultdict(set)
    sources = sorted({source for _, source in accounts})
    for start in range(0, len(sources), CHUNK):
        query = sa.select(
            consents.c.channel, consents.c.source_customer_id, consents.c.contact_token
        ).where(consents.c.source_customer_id.in_(sources[start : start + CHUNK]))
        for channel, source, token in connection.execute(query.distinct()):
            if (channel, source) in accounts:
                tokens[channel, source].add(token)
    return tokens


def _find_words(
    connection: sa.Connection, tokens: set[str], purpose: str, consent_channel: str
) -> dict[str, _Words]:
    """Per contact, what each account said last."""
    words: dict[str, _Words] = defaultdict(dict)
    wanted = sorted(tokens)
    for start in range(0, len(wanted), CHUNK):
        query = _events(purpose, consent_channel).where(
            consents.c.contact_token.in_(wanted[start : start + CHUNK])
        )
        for row in connection.execute(query):
            account = (row.channel, row.source_customer_id)
            word = ConsentState(row.contact_token, row.is_granted, row.occurred_at, row.event_id)
            words[row.contact_token].setdefault(account, word)
    return words


def _last_word(words: _Words, accounts: set[Account]) -> ConsentState | None:
    """What a person said last about a contact; of two at one moment the withdrawal."""
    own = [word for account, word in words.items() if account in accounts]
    return max(own, key=lambda word: (word.occurred_at, not word.is_granted), default=None)


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
