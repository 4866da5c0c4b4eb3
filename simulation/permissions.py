"""What people allow and ask for: consents, withdrawals, privacy requests.

Add here: a decision of a person about their own data.
Not here: who is contacted (``campaigns``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulation.columns import Flags, Ints, codes, words
from simulation.people import (
    ACCOUNT_CHANNELS,
    APP,
    JD,
    MINI,
    POS,
    WECOM,
    People,
    either,
    spelled_phones,
)
from simulation.reactions import WAYS
from simulation.sales import ROW_STRIDE
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["Permissions", "emit_permissions"]

# What each way of contact reaches, and the accounts where it can be agreed to.
_CONTACT_KINDS = ("phone", "email", "wecom", "push")
_HOMES = ((MINI, APP, POS), (APP, MINI, JD), (WECOM,), (APP,))


@dataclass
class Permissions:
    """Per person and way of contact: marketing agreed to since, and until (0 = never)."""

    granted_at: Ints
    withdrawn_at: Ints
    home: Ints  # account channel of the contact; -1 = no such contact

    def allows(self, person: Ints, way: Ints, at: Ints) -> Flags:
        granted, withdrawn = self.granted_at[person, way], self.withdrawn_at[person, way]
        return (granted > 0) & (granted <= at) & ((withdrawn == 0) | (withdrawn > at))


def emit_permissions(world: World, people: People) -> Permissions:
    """Draws and writes every consent; the cast's are as its scenes need them."""
    settings, calendar = world.parameters.consent, world.calendar
    rng = world.stream("consent_center", people.chunk)
    count = len(people)
    everybody = np.arange(count)
    home = np.full((count, len(WAYS)), -1)
    granted = np.zeros((count, len(WAYS)), np.int64)
    withdrawn = np.zeros((count, len(WAYS)), np.int64)
    cast = people.cast.is_cast
    rows: list[tuple[Ints, Ints, int, int, Ints]] = []  # person, at, way, purpose, action
    for way, name in enumerate(WAYS):
        for option in reversed(_HOMES[way]):
            home[people.has_account[:, option], way] = option
        if name == "email":
            home[~people.has_email, way] = -1
        reached = home[:, way] >= 0
        since = people.registered_at[everybody, np.maximum(home[:, way], 0)]
        since = np.maximum(since, calendar.start_at) + rng.integers(5, 400, count)
        agrees = reached & ((rng.random(count) < settings.marketing[name]) | cast)
        granted[:, way] = np.where(agrees, since, 0)
        leaves = agrees & (rng.random(count) < settings.withdrawn_share) & ~cast
        span = np.maximum(calendar.end_at - since, 2)
        gone = since + 1 + (rng.random(count) * (span - 1)).astype(np.int64)
        withdrawn[:, way] = np.where(leaves, gone, 0)
        served = reached & ((rng.random(count) < settings.service) | cast)
        profiled = reached & ((rng.random(count) < settings.profiling) | cast)
        rows.append((np.flatnonzero(agrees), granted[agrees, way], way, 0, np.array([0])))
        rows.append((np.flatnonzero(leaves), gone[leaves], way, 0, np.array([1])))
        rows.append((np.flatnonzero(served), since[served], way, 1, np.array([0])))
        if name == "push":
            rows.append((np.flatnonzero(profiled), since[profiled], way, 2, np.array([0])))
    permissions = Permissions(granted, withdrawn, home)
    refuses = np.flatnonzero(people.cast.meets("no_consent"))
    evening = calendar.end_at - 30 * 3600 + np.arange(len(refuses)) * 60
    for way in range(len(WAYS)):
        withdrawn[refuses, way] = evening
        rows.append((refuses, evening, way, 0, np.array([1])))
    _write_consents(world, people, permissions, rows)
    _emit_requests(world, people)
    return permissions


def contact_values(people: People, person: Ints, way: Ints, at: Ints) -> pa.Array:
    """The clear address or number of each (person, way)."""
    phone = people.phone_at(person, at).cast(pa.string())
    index = pa.array(person)
    found = pc.if_else(pa.array(way == 0), phone, people.email.take(index))
    found = pc.if_else(pa.array(way == 2), people.ids[WECOM].take(index), found)
    return pc.if_else(pa.array(way == 3), people.device.take(index), found)


def _write_consents(
    world: World, people: People, permissions: Permissions,
    rows: list[tuple[Ints, Ints, int, int, Ints]],
) -> None:  # fmt: skip
    person = np.concatenate([who for who, *_ in rows])
    at = np.concatenate([when for _, when, *_ in rows])
    way = np.concatenate([np.full(len(who), w) for who, _, w, _, _ in rows])
    purpose = np.concatenate([np.full(len(who), p) for who, _, _, p, _ in rows])
    action = np.concatenate([np.full(len(who), int(a[0])) for who, _, _, _, a in rows])
    home = permissions.home[person, way]
    # A number agreed to stays the one withdrawn.
    known = np.where(
        permissions.granted_at[person, way] > 0, permissions.granted_at[person, way], at
    )
    value = contact_values(people, person, way, known)
    # Who withdraws types the number anew, in the way of a chat with a guide.
    is_typed = (way == 0) & (action == 1)
    typed = spelled_phones(world, people, WECOM, person, value)
    world.emit(
        "consent_center", people.chunk, at,
        {
            "account_channel": words(ACCOUNT_CHANNELS, home),
            "source_customer_id": people.account(home, person),
            "contact_kind": words(_CONTACT_KINDS, way),
            "contact_value": either(is_typed, typed, value),
            "purpose": words(("marketing", "service", "profiling"), purpose),
            "consent_channel": words(WAYS, way),
            "action": words(("granted", "withdrawn"), action),
            "occurred_at": world.instants(at),
            "notice_version": words(("2024-09", "2025-06"), (at > world.calendar.start_at
                                    + 150 * DAY).astype(int)),
            "evidence": words(("注册页勾选", "偏好中心", "短信回复"), action),
        },
        person=people.number[person], protected=people.cast.is_cast[person],
    )  # fmt: skip


def _emit_requests(world: World, people: People) -> None:
    rng = world.stream("privacy_desk", people.chunk)
    calendar = world.calendar
    asks = rng.random(len(people)) < world.parameters.consent.privacy_request_share
    channel = np.where(people.has_account[:, APP], APP, MINI)
    asks &= people.has_account[np.arange(len(people)), channel] & ~people.cast.is_cast
    who = np.flatnonzero(asks)
    begin = people.registered_at[who, channel[who]]
    at = begin + (rng.random(len(who)) * (calendar.end_at - begin)).astype(np.int64)
    kind = rng.choice(5, len(who), p=[0.35, 0.2, 0.15, 0.1, 0.2])
    # Requests of the last two weeks are still open; erasures of the demo are left to the desk.
    is_open = (at > calendar.end_at - 14 * DAY) | (kind == 2)
    number = people.chunk * ROW_STRIDE + np.arange(len(who))
    world.emit(
        "privacy_desk", people.chunk, at,
        {
            "request_id": codes("PR", number, digits=11),
            "account_channel": words(ACCOUNT_CHANNELS, channel[who]),
            "source_customer_id": people.account(channel[who], who),
            "request_kind": words(("access", "correction", "erasure", "restriction",
                                   "profiling_opt_out"), kind),
            "requested_at": world.instants(at),
            "contact_value": people.phone_at(who, at),
            "request_status": words(("open", "done"), (~is_open).astype(int)),
        },
        person=people.number[who],
    )  # fmt: skip
