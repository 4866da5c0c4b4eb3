"""Who there is: people in households, their accounts at each channel, their devices.

Add here: something a person is or has.
Not here: what people do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from simulation.catalogue import CITIES, GUIDES_PER_STORE, PERSONAS, STORES
from simulation.columns import Flags, Ints, codes, join, money, scramble, words
from simulation.delivery import delivery_parameters
from simulation.delivery.coding import CHANGED_AFTER_DAYS
from simulation.delivery.plan import deliveries
from simulation.feeds import ORDER_CHANNELS
from simulation.names import (
    GIVEN,
    SURNAMES,
    address_texts,
    emails,
    full_names,
    mobile_numbers,
    pinyin,
)
from simulation.randomness import pick
from simulation.scenarios import Cast
from simulation.seasons import DAY, local_seconds
from simulation.spelling import masked_phones, spell_emails, spell_member_numbers, spell_phones
from simulation.world import World

__all__ = ["ACCOUNT_CHANNELS", "MASKED_DIGITS", "People", "make_people"]

# Channels where a person has an account, in the order of every account array.
ACCOUNT_CHANNELS = (*ORDER_CHANNELS, "wecom", "legacy")
TMALL, JD, DOUYIN, MINI, APP, POS, WECOM, LEGACY = range(8)
# Digits of an account number, and what stands before them.
_ID_SHAPES = (("tb", 12), ("jd_", 12), ("7", 12), ("mp", 12), ("8", 12), ("VIP", 12), ("wm", 12))
MASKED_DIGITS = {TMALL: 4, JD: 6, DOUYIN: 5}  # of a number the marketplace blots out
_USES_NUMBER_FOR = 30 * DAY  # before giving it up, at least
_SECOND_NUMBERS = 60_000_000  # numbers of people who gave their first one up


@dataclass
class People:
    """The people of one chunk; every array has one row per person."""

    chunk: int
    number: Ints  # person_id
    household: Ints
    persona: Ints
    city: Ints
    gender: Ints  # 0 female, 1 male
    born: Ints  # days since 1970
    surname: Ints
    first: Ints
    second: Ints  # below 0: one given syllable
    joined_at: Ints
    buys: Flags
    has_email: Flags
    is_member: Flags
    store: Ints
    phone: pa.Array
    second_phone: pa.Array
    phone_lost_at: Ints  # local; 0 = never
    landline: pa.Array  # null without one
    address: pa.Array
    device: pa.Array
    family_device: pa.Array  # null without one
    has_account: Flags  # one column per account channel
    registered_at: Ints  # the same shape
    ids: list[pa.Array]  # per account channel
    unionid: pa.Array
    oaid: pa.Array
    email: pa.Array
    name: pa.Array
    cast: Cast

    def __len__(self) -> int:
        return len(self.number)

    def phone_at(self, person: Ints, local: Ints) -> pa.Array:
        """The own number of each person at a moment."""
        gone = (self.phone_lost_at[person] > 0) & (local >= self.phone_lost_at[person])
        both = pa.concat_arrays([self.phone, self.second_phone])
        return words(both, np.where(gone, person + len(self), person))

    def account(self, channel: Ints, person: Ints) -> pa.Array:
        """The account number of each (account channel, person)."""
        every = pa.concat_arrays(self.ids)
        return words(every, channel * len(self) + person)


def make_people(world: World, chunk: int, start: int, count: int) -> People:
    """The people numbered ``start`` to ``start + count``."""
    settings, calendar = world.parameters.people, world.calendar
    rng = world.stream("people", chunk)
    number = np.arange(start, start + count, dtype=np.int64)
    cast = world.cast(chunk, count)

    sizes = 1 + pick(rng.random(count), np.array(settings.household_sizes))
    home_of = np.repeat(np.arange(count), sizes)[:count]
    role = np.arange(count) - np.concatenate([[0], np.cumsum(sizes)])[home_of]
    household = home_of + start
    shares = np.array([share for *_, share in CITIES])
    city = pick(rng.random(count), shares)[home_of]
    city[cast.plays("weather_care")] = world.alert_city
    persona_share = np.array([share for _, share, _ in PERSONAS])
    persona = np.where(
        rng.random(count) < 0.6,
        pick(rng.random(count), persona_share)[home_of],
        pick(rng.random(count), persona_share),
    )
    surname = np.where(
        (rng.random(count) < 0.6) | (role == 0),
        rng.integers(0, len(SURNAMES), count)[home_of],
        rng.integers(0, len(SURNAMES), count),
    )
    first = rng.integers(0, len(GIVEN), count)
    second = np.where(rng.random(count) < 0.7, rng.integers(0, len(GIVEN), count), -1)
    gender = (rng.random(count) < 0.38).astype(np.int64)
    ages = np.where(role < 2, rng.normal(36, 10, count), rng.normal(24, 5, count))
    born = calendar.start_at // DAY - (np.clip(ages, 15, 88) * 365.25).astype(np.int64)
    born = cast.birthdays(born, calendar.last)

    span = calendar.season_end * settings.joining_span
    joined_at = calendar.to_local(rng.random(count) * span, rng.random(count))
    is_legacy = rng.random(count) < settings.legacy_share
    moves = calendar.start_at + rng.random(count) * settings.legacy_moving_days * DAY
    joined_at = np.where(is_legacy, np.minimum(joined_at, moves.astype(np.int64)), joined_at)
    joined_at = cast.joining(joined_at, calendar.start_at, calendar.end_at)
    has, registered = _accounts(world, rng, joined_at, is_legacy, cast)
    has_lines = rng.random(count)[home_of] < settings.landline_share
    is_large = sizes[home_of] > 1
    shares_device = (rng.random(count)[home_of] < settings.family_device_share) & is_large
    # Marketplaces and stores tell of accounts in the brand's club only.
    is_member = (rng.random(count) < settings.member_share) | has[:, [*MASKED_DIGITS, POS]].any(1)
    phone_number, lost_at = _phone_numbers(world, rng, number, joined_at, is_legacy, cast)

    own_store = rng.integers(0, len(STORES), count)
    return People(
        chunk=chunk, number=number + 1, household=household + 1, persona=persona, city=city,
        gender=gender, born=born, surname=surname, first=first, second=second,
        joined_at=joined_at,
        buys=(rng.random(count) >= settings.never_buys_share) | cast.is_cast,
        has_email=(rng.random(count) < settings.email_share) | cast.is_cast,
        is_member=is_member, store=own_store,
        phone=mobile_numbers(phone_number),
        second_phone=mobile_numbers(number + _SECOND_NUMBERS),
        phone_lost_at=lost_at,
        landline=_landlines(city, household, has_lines),
        address=address_texts(city, household),
        device=codes("d", scramble(number, 21)),
        family_device=words(codes("f", scramble(household, 22)),
                            np.where(shares_device, np.arange(count), -1)).cast(pa.string()),
        has_account=has, registered_at=registered,
        ids=_account_ids(number),
        unionid=join("oU", codes("", scramble(number, 31)), codes("w", scramble(number, 32))),
        oaid=join("1a", codes("", scramble(number, 33)), codes("x", scramble(number, 34))),
        email=emails(surname, first, number),
        name=full_names(surname, first, second),
        cast=cast,
    )  # fmt: skip


def _accounts(
    world: World, rng: np.random.Generator, joined_at: Ints, is_legacy: Flags, cast: Cast
) -> tuple[Flags, Ints]:
    """Which accounts people have and since when; the first one is where they joined."""
    settings, calendar = world.parameters.people, world.calendar
    count = len(joined_at)
    home = pick(rng.random(count), np.array([settings.home_channels[c] for c in ORDER_CHANNELS]))
    chances = np.array([settings.also_on[c] for c in ORDER_CHANNELS] + [settings.wecom_share])
    has = np.zeros((count, len(ACCOUNT_CHANNELS)), bool)
    has[:, :LEGACY] = rng.random((count, LEGACY)) < chances
    has[np.arange(count), home] = True
    has[:, LEGACY] = is_legacy
    # Further accounts follow soon after the first, some much later, all before the end.
    delay = rng.random(has.shape) ** 3 * (calendar.end_at - DAY - joined_at)[:, None]
    registered = joined_at[:, None] + delay.astype(np.int64)
    registered[np.arange(count), home] = joined_at - 600
    years_before = rng.uniform(0.3, 5, count) * 365 * DAY
    registered[:, LEGACY] = calendar.start_at - years_before.astype(np.int64)
    # Everybody in the cast can be reached and seen.
    has[cast.plays("first_order_care")] = False
    visits = cast.plays("visit_follow_up")
    for channel, who in ((MINI, cast.is_cast), (APP, cast.is_cast), (WECOM, cast.is_cast),
                         (POS, visits)):  # fmt: skip
        has[who, channel] = True
        registered[who, channel] = joined_at[who] - 600
    return has, registered


def _phone_numbers(
    world: World,
    rng: np.random.Generator,
    number: Ints,
    joined_at: Ints,
    is_legacy: Flags,
    cast: Cast,
) -> tuple[Ints, Ints]:
    """A number each; some get one that somebody else of the chunk gave up.

    Operators let a number rest before they give it out again. So the last file that shows it with
    its giver lies at least so many days before the taker joins: only who joins long after others
    can get one, so that more of those do. Who was a customer years ago has had a number since.
    """
    settings, count = world.parameters.people, len(number)
    phone, lost_at = number.copy(), np.zeros(count, np.int64)
    others = np.flatnonzero(~cast.is_cast)
    by_joining = others[np.argsort(joined_at[others], kind="stable")]
    given_up = _given_up_by(world, joined_at[by_joining])
    earlier = np.searchsorted(joined_at[by_joining], given_up - _USES_NUMBER_FOR)
    may = (given_up > 0) & (earlier > 0) & ~is_legacy[by_joining]
    chosen = may & (
        rng.random(len(by_joining)) < settings.recycled_phone_share * count / max(1, may.sum())
    )
    givers: list[int] = []
    ready = 0
    for row in np.flatnonzero(chosen).tolist():
        givers += [n for n in range(ready, int(earlier[row])) if not chosen[n]]
        ready = max(ready, int(earlier[row]))
        if not givers:
            continue
        giver = by_joining[givers.pop(int(rng.integers(len(givers))))]
        phone[by_joining[row]] = number[giver]
        lost_at[giver] = given_up[row]
    return phone, lost_at


def _given_up_by(world: World, joined_at: Ints) -> Ints:
    """When a number must have been given up for who joins then to get it; 0 = that is too early.

    Records of accounts say what is so when they are delivered, some of them twice.
    """
    plan = deliveries(delivery_parameters(world.parameters), "small")
    told = np.array([local_seconds(delivery.at) for delivery in plan if not delivery.is_late])
    rests = int(world.parameters.people.recycled_phone_days * DAY) + DAY
    last = np.searchsorted(told, joined_at - rests, side="right") - 1
    return np.where(last >= 0, told[last] - CHANGED_AFTER_DAYS * DAY - DAY, 0)


def _landlines(city: Ints, household: Ints, has: Flags) -> pa.Array:
    area = words([code for _, _, code, _ in CITIES], np.where(has, city, -1)).cast(pa.string())
    return join(
        area, "-", pa.array(60_000_000 + scramble(household, 41) % 30_000_000).cast("string")
    )


def _account_ids(number: Ints) -> list[pa.Array]:
    ids = [
        codes(prefix, scramble(number, 50 + channel), digits=digits)
        for channel, (prefix, digits) in enumerate(_ID_SHAPES)
    ]
    return [*ids, codes("", number + 1, digits=8)]  # the old system counted from 00000001


def emit_accounts(world: World, people: People) -> None:
    """Writes the accounts of every channel."""
    for channel, name in enumerate(ACCOUNT_CHANNELS):
        feed = {"pos": "pos_members", "wecom": "wecom_contacts"}.get(name, f"{name}_accounts")
        who = np.flatnonzero(people.has_account[:, channel])
        columns = _account_columns(world, people, channel, who)
        world.emit(
            feed, people.chunk, people.registered_at[who, channel], columns,
            person=people.number[who], protected=people.cast.is_cast[who],
        )  # fmt: skip
    _emit_legacy(world, people)


def _account_columns(world: World, people: People, channel: int, who: Ints) -> dict[str, pa.Array]:
    settings = world.parameters.people
    rng = world.stream(f"accounts/{ACCOUNT_CHANNELS[channel]}", people.chunk)
    count = len(who)
    registered = people.registered_at[who, channel]
    is_market = channel in (TMALL, JD, DOUYIN)
    in_shop = channel in (POS, WECOM, LEGACY)
    states_gender = rng.random(count) < settings.stated_gender_share
    is_cast = people.cast.is_cast[who]
    states_birth = (rng.random(count) < settings.stated_birth_date_share) | is_cast
    phone = people.phone_at(who, registered).cast(pa.string())
    columns: dict[str, pa.Array] = {
        "source_customer_id": people.ids[channel].take(pa.array(who)),
        "registered_at": world.instants(registered),
        "display_name": _display_names(world, people, channel, who, rng),
        "gender": words(("female", "male"), np.where(states_gender, people.gender[who], -1)),
        "birth_date": pa.array(people.born[who].astype(np.int32), mask=~states_birth)
        .cast(pa.date32()),
        "city_name": words([name for name, *_ in CITIES], people.city[who]),
        "country_name": words(("中国",), np.zeros(count, np.int64)),
    }  # fmt: skip
    if is_market:
        lent = (rng.random(count) < settings.virtual_phone_share) & ~is_cast
        numbers = lent_numbers(world, people.chunk, channel, registered, lent)
        until = registered + int(settings.virtual_phone_days * DAY)
        masked = (rng.random(count) < settings.masked_phone_share) & ~is_cast
        shown = either(masked, masked_phones(phone, MASKED_DIGITS[channel]), phone)
        columns["phone"] = either(lent, numbers, shown)
        columns["phone_valid_until"] = world.instants(until, ~lent)
        columns["hidden_id"] = people.oaid.take(pa.array(who)) if channel == TMALL else None
        bound = people.is_member[who] & (rng.random(count) < settings.member_bound_share)
        columns["member_number"] = words(people.ids[POS], np.where(bound, who, -1))
    elif channel != WECOM:
        uses_line = (rng.random(count) < 0.5) & in_shop & ~is_cast
        line = people.landline.take(pa.array(who))
        has_line = uses_line & line.is_valid().to_numpy(zero_copy_only=False)
        columns["phone"] = either(has_line, line, phone)
    else:
        noted = (rng.random(count) < settings.guide_phone_share) | is_cast
        columns["phone"] = either(~noted, pa.nulls(count, pa.string()), phone)
        bound = people.is_member[who] & (rng.random(count) < settings.guide_card_share)
        columns["member_number"] = words(people.ids[POS], np.where(bound, who, -1))
    if channel in (APP, MINI, JD, LEGACY):
        gives = people.has_email[who] & ((rng.random(count) < 0.7) | is_cast)
        columns["email"] = words(people.email, np.where(gives, who, -1))
    if channel in (MINI, WECOM):
        columns["wechat_unionid"] = people.unionid.take(pa.array(who))
        columns["wechat_openid"] = codes("o", scramble(people.number[who], 60 + channel))
    if channel == APP:
        by_wechat = rng.random(count) < 0.5
        columns["wechat_unionid"] = words(people.unionid, np.where(by_wechat, who, -1))
        by_alipay = ~by_wechat & (rng.random(count) < 0.3)
        alipay = codes("2088", scramble(people.number, 63))
        columns["alipay_id"] = words(alipay, np.where(by_alipay, who, -1))
    if channel in (APP, MINI):
        family = people.family_device.is_valid().to_numpy(zero_copy_only=False)[who]
        on_family = family & (rng.random(count) < 0.4)
        columns["device_id"] = either(
            on_family, people.family_device.take(pa.array(who)), people.device.take(pa.array(who))
        )
        bound = people.is_member[who] & (rng.random(count) < settings.member_bound_share)
        columns["member_number"] = words(people.ids[POS], np.where(bound, who, -1))
    if channel == POS:
        columns["member_number"] = people.ids[POS].take(pa.array(who))
    if channel in (POS, LEGACY):
        gives = rng.random(count) < 0.5
        columns["address_text"] = words(people.address, np.where(gives, who, -1))
    if channel in (POS, WECOM):
        store = people.store[who]
        columns["store_id"] = words([name for name, _ in STORES], store)
        columns["guide_id"] = guide_ids(store, people.number[who])
    sources = ("自然流量", "朋友推荐", "门店扫码", "广告", "直播间")
    columns["source_name"] = words(sources, rng.integers(0, len(sources), count))
    written = {name: values for name, values in columns.items() if values is not None}
    return written | _spelled(world, people, channel, who, written)


def _spelled(
    world: World, people: People, channel: int, who: Ints, columns: dict[str, pa.Array]
) -> dict[str, pa.Array]:
    """Identifiers as people and clerks typed them; lent numbers and cards come from machines."""
    settings, number = world.parameters.people, people.number[who]
    found: dict[str, pa.Array] = {}
    is_own = np.ones(len(who), bool)
    if "phone_valid_until" in columns:
        is_own = columns["phone_valid_until"].is_null().to_numpy(zero_copy_only=False)
    typed = spelled_phones(world, people, channel, who, columns["phone"])
    found["phone"] = either(is_own, typed, columns["phone"])
    if "email" in columns and channel != LEGACY:  # the old system's are in capitals, all of them
        email = columns["email"].cast(pa.string())
        found["email"] = spell_emails(email, number, channel, settings.respelled_email_share)
    if "member_number" in columns and channel != POS:
        card = columns["member_number"].cast(pa.string())
        share = settings.respelled_member_share
        found["member_number"] = spell_member_numbers(card, number, channel, share)
    return found


def spelled_phones(
    world: World, people: People, channel: int, person: Ints, phones: pa.Array
) -> pa.Array:
    """Phones as the accounts of people at a channel write them."""
    share = world.parameters.people.respelled_phone_share
    name = ACCOUNT_CHANNELS[channel]
    return spell_phones(phones, name, people.number[person], channel, share)


def _display_names(
    world: World, people: People, channel: int, who: Ints, rng: np.random.Generator
) -> pa.Array:
    """The real name, wrongly written at the declared rate; nicknames where people choose them."""
    count = len(who)
    surname, first, second = people.surname[who], people.first[who], people.second[who]
    is_wrong = rng.random(count) < world.parameters.people.name_typo_rate
    how = rng.integers(0, 3, count)
    swap = is_wrong & (how == 1) & (second >= 0) & (second != first)
    drop = is_wrong & (how == 2) & (second >= 0)
    sound = is_wrong & ~swap & ~drop
    written_first = np.where(swap, second, np.where(sound, first + len(GIVEN), first))
    written_second = np.where(swap, first, np.where(drop, -1, second))
    names = full_names(surname, written_first, written_second)
    if channel not in (TMALL, DOUYIN, MINI, WECOM):
        return names
    takes_nick = rng.random(count) < (0.5 if channel in (MINI, WECOM) else 0.9)
    return either(takes_nick, _nicknames(rng, people, who), names)


def _nicknames(rng: np.random.Generator, people: People, who: Ints) -> pa.Array:
    moods = ("爱喝茶的", "慢半拍的", "晒太阳的", "不吃辣的", "早睡的", "快乐的", "山里的", "走路的")
    beings = ("小鹿", "豆包", "云朵", "汤圆", "阿福", "橘猫", "西柚", "石榴")
    count = len(who)
    chinese = join(
        words(moods, rng.integers(0, len(moods), count)).cast(pa.string()),
        words(beings, rng.integers(0, len(beings), count)).cast(pa.string()),
    )
    latin = join(pinyin(people.surname[who], people.first[who]),
                 pa.array(rng.integers(1, 999, count)).cast(pa.string()))  # fmt: skip
    return either(rng.random(count) < 0.5, chinese, latin)


def _emit_legacy(world: World, people: People) -> None:
    who = np.flatnonzero(people.has_account[:, LEGACY])
    rng = world.stream("legacy_customers", people.chunk)
    count = len(who)
    orders = rng.poisson(rng.gamma(1.2, 4, count))
    spend = np.round(orders * rng.gamma(4, 45, count)) * 100
    registered = people.registered_at[who, LEGACY]
    last = registered + (rng.random(count) * (world.calendar.start_at - registered)).astype(int)
    levels = np.searchsorted([50_000, 300_000], spend)
    world.emit(
        "legacy_customers", people.chunk, registered,
        {
            "source_customer_id": people.ids[LEGACY].take(pa.array(who)),
            "registered_at": world.instants(registered),
            "order_count": pa.array(orders),
            "spend_amount": money(spend.astype(np.int64)),
            "currency": words((world.parameters.world.currency,), np.zeros(count, np.int64)),
            "points_balance": pa.array((spend // 1000).astype(np.int64)),
            "level_name": words(("普通会员", "银卡", "金卡"), levels),
            "last_ordered_at": world.instants(last, orders == 0),
        },
        person=people.number[who], protected=people.cast.is_cast[who],
    )  # fmt: skip


def lent_numbers(world: World, chunk: int, kind: int, at: Ints, is_lent: Flags) -> pa.Array:
    """Lent numbers where ``is_lent``: the same few of a pool go round, one after the other."""
    rank = np.full(len(at), -1, np.int64)
    chosen = np.flatnonzero(is_lent)
    rank[chosen[np.argsort(at[chosen], kind="stable")]] = np.arange(len(chosen))
    pool = max(1, int(len(chosen) / world.parameters.people.virtual_phone_reuse))
    base = (chunk * 8 + kind) * 60_000
    return words(mobile_numbers(base + np.arange(pool), lent=True),
                 np.where(rank < 0, -1, rank % pool)).cast(pa.string())  # fmt: skip


def guide_ids(store: Ints, number: Ints) -> pa.Array:
    """The shop guide of each (store, person)."""
    return join("G", pa.array((store + 1) * 100 + number % GUIDES_PER_STORE).cast(pa.string()))


def either(condition: NDArray[np.bool_], yes: pa.Array, no: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(condition), yes, no)
