"""What clerks found out about pairs of accounts by asking the people.

Add here: a kind of pair that is hard to judge.
Not here: what makes it hard (``people``), what is made of the answers (``ml.identity``).

Half of the pairs are two accounts of one person, each true pair as likely as any other: the share
of them that rules find is their recall. The others are of two people. Each kind that rules fall
for comes as often as the rest, strangers among them, so that a rule that merges one kind shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from simulation.columns import Flags, Ints, codes, words
from simulation.people import ACCOUNT_CHANNELS, APP, MINI, People
from simulation.sales import ROW_STRIDE
from simulation.world import World

__all__ = ["emit_pairs"]

_VERDICTS = ("same", "different", "unsure")
_DRAWS = 24  # per pair wanted: most people have one account or two


def emit_pairs(world: World, people: People) -> None:
    """The pairs of one chunk: always right, sometimes unsure."""
    supply = world.parameters.supply
    rng = world.stream("identity_reviews", people.chunk)
    wanted = max(4, int(len(people) * supply.review_pairs_share))
    everywhere = range(len(ACCOUNT_CHANNELS))
    everybody = np.arange(len(people))
    alike = [
        (_next_owners(people), everywhere),
        (_tablet_mates(people), (MINI, APP)),
        (_namesakes(people), everywhere),
        (_relatives(people), everywhere),
        (rng.permutation(everybody), everywhere),
    ]
    drawn = [_draw(rng, people, everybody, everywhere, wanted // 2)]
    for other, channels in alike:
        drawn.append(_draw(rng, people, other, channels, (wanted - wanted // 2) // len(alike) + 1))
    pairs = np.concatenate(drawn)
    _, first = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True)
    pairs = pairs[rng.permutation(first)]
    _write(world, people, rng, *np.divmod(pairs.T, len(ACCOUNT_CHANNELS)))


def _draw(
    rng: np.random.Generator, people: People, other: Ints, channels: Sequence[int], wanted: int
) -> Ints:
    """Up to ``wanted`` pairs of accounts, one of a person and one of their ``other`` (-1: none).

    An account is person times channels plus channel.
    """
    known = np.flatnonzero(other >= 0)
    if not len(known):
        return np.zeros((0, 2), np.int64)
    left = known[rng.integers(0, len(known), _DRAWS * wanted)]
    person = np.stack([left, other[left]], axis=1)
    channel = np.array(channels)[rng.integers(0, len(channels), person.shape)]
    account = person * len(ACCOUNT_CHANNELS) + channel
    fits = people.has_account[person, channel].all(axis=1) & (account[:, 0] != account[:, 1])
    return account[fits][:wanted]


def _write(
    world: World, people: People, rng: np.random.Generator, person: Ints, channel: Ints
) -> None:
    """Writes the judgement of each pair; the first row of both arrays is the left side."""
    calendar, count = world.calendar, person.shape[1]
    unsure = rng.random(count) < world.parameters.supply.unsure_pairs_share
    verdict = np.where(unsure, 2, np.where(person[0] == person[1], 0, 1))
    both = np.maximum(people.registered_at[person, channel].max(axis=0), calendar.start_at)
    at = both + ((calendar.end_at - both) * rng.random(count)).astype(np.int64)
    number = people.chunk * ROW_STRIDE + np.arange(count)
    sides: dict[str, pa.Array] = {}
    for side, who, where in zip(("left", "right"), person, channel, strict=True):
        sides[f"{side}_channel"] = words(ACCOUNT_CHANNELS, where)
        sides[f"{side}_customer_id"] = people.account(where, who)
    world.emit(
        "identity_reviews", people.chunk, at,
        {
            "pair_id": codes("IP", number, digits=11),
            **sides,
            "verdict": words(_VERDICTS, verdict),
            "reviewer_id": words(("K01", "K02", "K03"), number % 3),
            "reviewed_at": world.instants(at),
        },
    )  # fmt: skip


def _next_owners(people: People) -> Ints:
    """Who got the number a person gave up; -1 for all others."""
    numbers = people.phone.to_numpy(zero_copy_only=False)
    found = np.full(len(people), -1)
    one, other = _neighbours(np.argsort(numbers, kind="stable"), numbers)
    gives = people.phone_lost_at > 0
    found[one[gives[one]]] = other[gives[one]]
    found[other[gives[other]]] = one[gives[other]]
    return found


def _tablet_mates(people: People) -> Ints:
    """Another one of the household who uses its tablet; -1 without."""
    shares = people.family_device.is_valid().to_numpy(zero_copy_only=False)
    return _next_of(people, people.household, shares)


def _relatives(people: People) -> Ints:
    """Another one of the household, who has its address and landline; -1 without."""
    return _next_of(people, people.household, np.ones(len(people), bool))


def _namesakes(people: People) -> Ints:
    """Somebody with the same name; -1 without."""
    name = (people.surname * 1000 + people.first) * 1000 + people.second
    return _next_of(people, name, np.ones(len(people), bool))


def _next_of(people: People, group: Ints, counts: Flags) -> Ints:
    """The next person of the same group, among those who count; -1 without."""
    who = np.flatnonzero(counts)
    one, other = _neighbours(who[np.argsort(group[who], kind="stable")], group)
    found = np.full(len(people), -1)
    found[one] = other
    return found


def _neighbours(order: Ints, group: Ints) -> tuple[Ints, Ints]:
    """Those in ``order`` whose next one is of the same group, and these."""
    alike = group[order][:-1] == group[order][1:]
    return order[:-1][alike], order[1:][alike]
