"""Audiences for ad platforms: hashed addresses of people who agreed to exactly that.

Add here: who may be handed over, and what is written.
Not here: how a platform spells an address (``rules.ad_platforms``), messages (``claims``).

A hash of a phone number is still personal data: whoever has the number can make it. So a grant of
its own purpose is asked for (one for marketing is none), the list is read and the export put on
record in one ledger transaction, and whoever falls out of an audience is named to the platform.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_pipeline.lib.consent.ledger import ADVERTISING
from crm_pipeline.lib.consent.state import Account, find_usable
from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import read_accounts
from crm_pipeline.lib.ledger.schema import (
    audience_members,
    audit,
    consents,
    id_versions,
    inbox_files,
    inbox_parts,
    vault,
)
from crm_pipeline.lib.ledger.statements import insert_ignore
from crm_pipeline.lib.publish import current_manifest
from crm_pipeline.lib.rules.ad_platforms import AdPlatform

TAG = "tag:"
CHANNEL_OF = {"phone": "sms", "email": "email"}  # the way of contact an address is granted for
# A holdout that sees the advertisement is none, and who complains is left alone.
LEFT_OUT = ("holdout", "open_complaint")
OBJECTIONS = ("erasure", "restriction", "profiling_opt_out")
CHUNK = 400

_Accounts = Mapping[str, Collection[Account]]  # by customer
_Member = tuple[str, str]  # kind of address, hash


@dataclass(frozen=True)
class AudienceExport:
    """What was handed over.

    Attributes:
        people: customers in the list.
        member_count: hashed addresses in the list.
        removal_count: hashed addresses the platform has to forget.
        members_path: the list.
        removals_path: what the platform has to forget; None where there is nothing.
        left_out: customers of the audience who are not in the list, by reason.
    """

    people: int
    member_count: int
    removal_count: int
    members_path: Path | None
    removals_path: Path | None
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Audience:
    """Who is in an audience by the published build, and which of them may be too young."""

    name: str
    platform: AdPlatform
    build_id: str
    people: frozenset[str]
    young: frozenset[str]


@dataclass(frozen=True)
class _Allowed:
    """Who may be handed over, and with which hashes."""

    members: frozenset[_Member]
    people: int
    left_out: dict[str, int]


def export_audience(
    home: CrmHome,
    ledger: sa.Engine,
    vault_engine: sa.Engine,
    name: str,
    platform: AdPlatform,
    folder: Path,
    *,
    actor: str,
    now: dt.datetime,
) -> AudienceExport:
    """Writes the list of an audience for a platform, and whom the platform has to forget.

    Whoever was handed over before and is not in the new list is in the list of removals, whether
    they withdrew, were erased or only left the audience. It is written even where the audience
    became too small to be handed over.

    Args:
        home: the published build says who is in the audience, the conformed parts who objected.
        ledger: consents and ids as they are now.
        vault_engine: clear addresses, and what the platform was told before.
        name: a journey, or ``tag:`` and a customer's tag.
        platform: how it wants the addresses.
        folder: where the files are written; they are for their owner alone.
        actor: who asked for it.
        now: the moment, UTC.

    Raises:
        OutreachError: nothing is published, nobody was ever in the audience, or too few people
            of it may be handed over.
    """
    moment = now.astimezone(dt.UTC).replace(tzinfo=None) if now.tzinfo else now
    audience = _read_audience(home, name, platform)
    members_path, removals_path = _paths(folder, audience, moment)
    with ExitStack() as files, _open(home, ledger, audience) as (connection, accounts):
        allowed = _find_allowed(home, connection, vault_engine, audience, accounts)
        known = _read_members(vault_engine, audience)
        if not audience.people and not known:
            raise _nobody(audience)
        removals = known - allowed.members
        is_enough = allowed.people >= platform.min_people
        report = AudienceExport(
            people=allowed.people if is_enough else 0,
            member_count=len(allowed.members) if is_enough else 0,
            removal_count=len(removals),
            members_path=members_path if is_enough else None,
            removals_path=removals_path if removals else None,
            left_out=allowed.left_out,
        )
        # What a platform may know is remembered before it can know it, and put on record
        # before the files are there: a crash leaves no list that nobody knows of.
        if report.members_path:
            _remember(vault_engine, audience, allowed.members, moment)
            _write(files.enter_context(atomic_path(members_path)), platform, allowed.members)
        if report.removals_path:
            _write(files.enter_context(atomic_path(removals_path)), platform, removals)
        _put_on_record(connection, moment, actor, audience, report)
        failpoint("audience_recorded")
    failpoint("audience_written")
    _forget(vault_engine, audience, removals, moment)
    if not is_enough:
        raise _too_small(audience, allowed, report)
    return report


def _nobody(audience: _Audience) -> OutreachError:
    return OutreachError(
        "nobody is in the audience",
        where=f"{audience.name} in build {audience.build_id}",
        remedy="name a journey that was decided, or tag: and a tag of marts.customer_tags",
    )


def _too_small(audience: _Audience, allowed: _Allowed, report: AudienceExport) -> OutreachError:
    platform = audience.platform
    reasons = ", ".join(f"{reason} {count}" for reason, count in allowed.left_out.items())
    removals = f"; hand over the removals in {report.removals_path}" if report.removals_path else ""
    return OutreachError(
        f"{allowed.people} people of the audience may be handed to {platform.platform}, "
        f"fewer than the {platform.min_people} it takes",
        where=f"{audience.name} in build {audience.build_id}; left out: {reasons or 'nobody'}",
        remedy=f"choose a larger audience{removals}",
    )


# ------------------------------------------------------------------------------------ the audience


def _read_audience(home: CrmHome, name: str, platform: AdPlatform) -> _Audience:
    manifest = current_manifest(home)
    if manifest is None:
        raise OutreachError(
            "nothing is published yet",
            where=str(home.published),
            remedy="run the nightly job: an audience is taken from what it publishes",
        )
    with duckdb.connect(str(manifest.build_dir / "crm.duckdb"), read_only=True) as connection:
        people = {row[0] for row in connection.execute(*_members_query(name)).fetchall()}
        # Of who turns min_age this year nobody knows whether it was already.
        young = connection.execute(
            "select customer_id from marts.customer_360 where birth_year >= ?",
            [manifest.as_of.year - platform.min_age],
        ).fetchall()
    return _Audience(
        name, platform, manifest.build_id, frozenset(people), frozenset(row[0] for row in young)
    )


def _members_query(name: str) -> tuple[str, list[object]]:
    if name.startswith(TAG):
        return "select customer_id from marts.customer_tags where tag = ?", [name[len(TAG) :]]
    query = """
        select customer_id from marts.outreach_decisions as decisions
        where journey = ? and as_of_date = (
            select max(as_of_date) from marts.outreach_decisions
            where journey = decisions.journey
        )
        group by customer_id
        having not bool_or(outcome in (select unnest(?)))
    """
    return query, [name, list(LEFT_OUT)]


def _paths(folder: Path, audience: _Audience, now: dt.datetime) -> tuple[Path, Path]:
    """A tag may say something about people, so no file is named after it; none is overwritten."""
    platform = audience.platform.platform
    digest = hashlib.sha256(f"{platform}\x1f{audience.name}".encode()).hexdigest()[:12]
    stem = f"{platform}-{digest}-{now:%Y%m%dT%H%M%S%f}"
    return folder / f"{stem}-members.csv", folder / f"{stem}-removals.csv"


# ------------------------------------------------------------------------------------- who may be


@contextmanager
def _open(
    home: CrmHome, ledger: sa.Engine, audience: _Audience
) -> Iterator[tuple[sa.Connection, _Accounts]]:
    """A ledger transaction in which people have the accounts they have now.

    The accounts are in a file, so it is left again when the ids changed in between. No withdrawal
    gets in before it ends.
    """
    while True:
        with ledger.connect() as connection:
            version = _newest_ids(connection)
        accounts = _read_accounts(home, ledger, audience.people)
        with ledger.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("lock table id_versions, consents in share mode")
            if _newest_ids(connection) == version:
                yield connection, accounts
                return


def _newest_ids(connection: sa.Connection) -> int | None:
    newest: int | None = connection.execute(sa.select(sa.func.max(id_versions.c.version))).scalar()
    return newest


def _read_accounts(home: CrmHome, ledger: sa.Engine, people: Collection[str]) -> _Accounts:
    table = read_accounts(home, ledger)
    chosen = table.filter(pc.is_in(table.column("customer_id"), pa.array(people, pa.string())))
    found: dict[str, set[Account]] = defaultdict(set)
    for row in chosen.to_pylist():
        found[row["customer_id"]].add((row["channel"], row["source_customer_id"]))
    return found


def _find_allowed(
    home: CrmHome,
    connection: sa.Connection,
    vault_engine: sa.Engine,
    audience: _Audience,
    accounts: _Accounts,
) -> _Allowed:
    """Each person of the audience is allowed or left out for one reason."""
    objected = _find_objections(home, connection)
    reasons = {
        person: "too_young" if person in audience.young else "objected"
        for person, mine in accounts.items()
        if person in audience.young or not objected.isdisjoint(mine)
    }
    asked = {person: mine for person, mine in accounts.items() if person not in reasons}
    usable = {
        identifier: _find_granted(connection, identifier.kind, asked)
        for identifier in audience.platform.identifiers
    }
    addresses = _read_addresses(
        vault_engine, {token for pairs in usable.values() for _, token in pairs}
    )
    hashed = [
        (person, identifier.kind, identifier.hash(addresses[token]))
        for identifier, pairs in usable.items()
        for person, token in pairs
        if token in addresses
    ]
    people = {person for person, _, _ in hashed}
    left_out = Counter(
        reasons.get(person, "no_grant") for person in audience.people if person not in people
    )
    members = frozenset((kind, value) for _, kind, value in hashed)
    return _Allowed(members, len(people), dict(sorted(left_out.items())))


def _find_granted(
    connection: sa.Connection, kind: str, accounts: _Accounts
) -> set[tuple[str, str]]:
    """Customers with the addresses they let be handed over, withdrawn by nobody since."""
    owner = {account: person for person, mine in accounts.items() for account in mine}
    query = sa.select(
        consents.c.channel, consents.c.source_customer_id, consents.c.contact_token
    ).where(
        consents.c.purpose == ADVERTISING,
        consents.c.is_granted.is_(True),
        consents.c.contact_kind == kind,
        consents.c.consent_channel == CHANNEL_OF[kind],
    )
    granted = {
        (owner[channel, source], token)
        for channel, source, token in connection.execute(query.distinct())
        if (channel, source) in owner
    }
    return find_usable(connection, granted, accounts, ADVERTISING, CHANNEL_OF[kind])


def _find_objections(home: CrmHome, connection: sa.Connection) -> set[Account]:
    """Accounts that asked to be forgotten, restricted or not profiled, unless it was refused."""
    query = (
        sa.select(inbox_parts.c.part_path)
        .join(
            inbox_files,
            sa.and_(
                inbox_files.c.feed == inbox_parts.c.feed,
                inbox_files.c.file_sha256 == inbox_parts.c.file_sha256,
            ),
        )
        .where(
            inbox_files.c.entity == "privacy_requests",
            inbox_parts.c.state == "active",
            inbox_parts.c.part_path.is_not(None),
        )
    )
    paths = sorted(str(home.root / row.part_path) for row in connection.execute(query))
    if not paths:
        return set()
    with duckdb.connect() as engine:
        rows = engine.execute(
            """
            select distinct coalesce(account_channel, channel), source_customer_id
            from read_parquet(?, union_by_name = true)
            where list_contains(?, request_kind) and source_customer_id is not null
            qualify request_status <> 'refused' and row_number() over (
                partition by feed, request_id
                order by known_at desc, request_status = 'refused'
            ) = 1
            """,
            [paths, list(OBJECTIONS)],
        ).fetchall()
    return {(channel, source) for channel, source in rows}


def _read_addresses(vault_engine: sa.Engine, tokens: Collection[str]) -> dict[str, str]:
    wanted = sorted(tokens)
    found: dict[str, str] = {}
    with vault_engine.connect() as connection:
        for start in range(0, len(wanted), CHUNK):
            query = sa.select(vault.c.token, vault.c.clear_value).where(
                vault.c.token.in_(wanted[start : start + CHUNK])
            )
            found |= {row.token: row.clear_value for row in connection.execute(query)}
    return found


# ---------------------------------------------------------------------------- what a platform knows


def _is_about(audience: _Audience) -> sa.ColumnElement[bool]:
    return sa.and_(
        audience_members.c.platform == audience.platform.platform,
        audience_members.c.audience == audience.name,
    )


def _read_members(vault_engine: sa.Engine, audience: _Audience) -> frozenset[_Member]:
    query = sa.select(audience_members.c.identifier_kind, audience_members.c.hashed_value).where(
        _is_about(audience), audience_members.c.removed_at.is_(None)
    )
    with vault_engine.connect() as connection:
        return frozenset((kind, value) for kind, value in connection.execute(query))


def _remember(
    vault_engine: sa.Engine, audience: _Audience, members: Collection[_Member], now: dt.datetime
) -> None:
    rows = [
        {
            "platform": audience.platform.platform,
            "audience": audience.name,
            "identifier_kind": kind,
            "hashed_value": value,
            "exported_at": now,
        }
        for kind, value in sorted(members)
    ]
    with vault_engine.begin() as connection:
        insert_ignore(connection, audience_members, rows)
        _mark(connection, audience, members, None)


def _forget(
    vault_engine: sa.Engine, audience: _Audience, members: Collection[_Member], now: dt.datetime
) -> None:
    with vault_engine.begin() as connection:
        _mark(connection, audience, members, now)


def _mark(
    connection: sa.Connection,
    audience: _Audience,
    members: Collection[_Member],
    removed_at: dt.datetime | None,
) -> None:
    kind, value = audience_members.c.identifier_kind, audience_members.c.hashed_value
    statement = (
        sa.update(audience_members)
        .where(_is_about(audience), kind == sa.bindparam("kind"), value == sa.bindparam("value"))
        .values(removed_at=removed_at)
    )
    rows = [{"kind": kind, "value": value} for kind, value in sorted(members)]
    if rows:
        connection.execute(statement, rows)


def _write(path: Path, platform: AdPlatform, members: Collection[_Member]) -> None:
    """One column per kind of address; in the order of the hashes, which tells nothing."""
    columns = {one.kind: one.column_name for one in platform.identifiers}
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii", newline="") as target:
        writer = csv.DictWriter(target, list(columns.values()), lineterminator="\r\n", restval="")
        writer.writeheader()
        for kind, value in sorted(members):
            writer.writerow({columns[kind]: value})


def _put_on_record(
    connection: sa.Connection,
    now: dt.datetime,
    actor: str,
    audience: _Audience,
    report: AudienceExport,
) -> None:
    detail = {
        "audience": audience.name,
        "platform": audience.platform.platform,
        "purpose": ADVERTISING,
        "build_id": audience.build_id,
        "people": report.people,
        "members": report.member_count,
        "removals": report.removal_count,
        "left_out": report.left_out,
    }
    connection.execute(
        sa.insert(audit).values(
            at=now,
            actor=actor,
            action="audience_exported",
            detail=json.dumps(detail, ensure_ascii=False, sort_keys=True),
        )
    )
