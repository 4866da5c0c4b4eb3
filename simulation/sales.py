"""The records an order leaves: head, lines, refund, parcel, coupon.

Add here: something that is booked because an order was placed.
Not here: why it was placed (``purchases``, ``campaigns``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from simulation.catalogue import CITIES, LIVE_ROOMS, STORES
from simulation.columns import (
    Flags,
    Ints,
    blank_where,
    codes,
    join,
    money,
    quantities,
    scramble,
    words,
)
from simulation.feeds import ORDER_CHANNELS
from simulation.people import (
    MASKED_DIGITS,
    MINI,
    POS,
    TMALL,
    People,
    either,
    lent_numbers,
    spelled_phones,
)
from simulation.purchases import Orders
from simulation.randomness import pick
from simulation.seasons import DAY
from simulation.spelling import masked_phones
from simulation.world import World

__all__ = ["ROW_STRIDE", "Booked", "book_orders", "emit_parcels"]

# Rows of one table in one chunk are numbered below this, so that numbers never meet.
ROW_STRIDE = 2**27
_ORDER_PREFIXES = ("30", "29", "69", "MP", "A", "P")
_PAYMENTS = (
    ("支付宝", "花呗"), ("京东支付", "微信支付"), ("抖音支付", "支付宝"),
    ("微信支付", "微信支付"), ("微信支付", "支付宝"), ("微信支付", "现金"),
)  # fmt: skip
_REASONS = ("七天无理由退货", "商品质量问题", "发错货", "物流太慢", "不想要了")
_CARRIERS = ("顺风达", "中邮通", "圆捷", "韵速")
_DISCOUNTS = np.array([500, 1000, 2000, 3000])
STATUS = ("paid", "unpaid", "cancelled", "closed")


@dataclass
class Booked:
    """Orders as they were booked, and what others refer to; rows as in ``orders``."""

    orders: Orders
    order_id: pa.Array
    status: Ints
    is_guest: Flags
    paid_cents: Ints
    coupon: Ints  # coupon number; -1 = none
    discount_cents: Ints
    main_product: Ints
    store: Ints
    delivered_at: Ints
    refunded: Flags
    protected: Flags
    line_order: Ints
    line_product: Ints


def book_orders(world: World, people: People, orders: Orders) -> Booked:
    """Gives orders numbers, products and prices, and writes heads, lines and refunds."""
    orders, status = _with_failed(world, people, orders)
    rng = world.stream("sales", people.chunk)
    buying, count = world.parameters.purchases, len(orders)
    number = people.chunk * ROW_STRIDE + np.arange(count, dtype=np.int64)
    protected = people.cast.is_cast[orders.person]
    has_coupon = (rng.random(count) < buying.coupon_share) & (status == 0) & ~protected
    discount = np.where(has_coupon, _DISCOUNTS[rng.integers(0, 4, count)], 0)
    discount = np.minimum(discount, orders.worth_cents // 2)
    # Most orders have one line, some have up to four of the same category.
    line_counts = 1 + np.minimum(rng.poisson(0.5, count), 3)
    line_order = np.repeat(np.arange(count), line_counts)
    starts = np.cumsum(line_counts) - line_counts
    line_number = np.arange(len(line_order)) - starts[line_order] + 1
    parts = rng.gamma(3, 1, len(line_order))
    parts /= np.add.reduceat(parts, starts)[line_order]
    wanted = parts * (orders.worth_cents + discount)[line_order]
    product, pieces, unit = _choose_products(world, rng, orders, line_order, wanted)
    is_pos = orders.channel == POS
    shipping = np.where(is_pos | (rng.random(count) < 0.8), 0, rng.choice([600, 800, 1000], count))
    is_guest = is_pos & (rng.random(count) < world.parameters.people.till_guest_share) & ~protected
    is_guest |= ~people.has_account[orders.person, orders.channel]
    jd = orders.channel == ORDER_CHANNELS.index("jd")
    is_foreign = jd & (rng.random(count) < buying.foreign_currency_share) & ~protected
    rates = world.parameters.supply.exchange_rates
    currency = np.where(is_foreign, 1 + rng.integers(0, len(rates), count), 0)
    scale = np.array([1.0, *rates.values()])[currency]
    unit = np.maximum(np.round(unit / scale[line_order]), 1).astype(np.int64)
    discount = np.round(discount / scale).astype(np.int64)
    shipping = np.round(shipping / scale).astype(np.int64)
    gross = np.add.reduceat(pieces * unit, starts)
    paid = np.where(status == 0, gross - discount + shipping, 0)
    store = np.where(is_pos, people.store[orders.person], -1)
    booked = Booked(
        orders=orders,
        order_id=_order_ids(orders, number, world.calendar.start_at, store),
        status=status, is_guest=is_guest, paid_cents=paid,
        coupon=np.where(has_coupon, number, -1), discount_cents=discount,
        main_product=product[starts],
        store=store,
        delivered_at=np.zeros(count, np.int64), refunded=np.zeros(count, bool),
        protected=protected, line_order=line_order, line_product=product,
    )  # fmt: skip
    live = np.where(
        (orders.channel == ORDER_CHANNELS.index("douyin")) & (rng.random(count) < 0.6),
        rng.integers(0, len(LIVE_ROOMS), count), -1,
    )  # fmt: skip
    _emit_heads(world, people, booked, rng, shipping, currency, live)
    _emit_lines(world, people, booked, rng, line_number, pieces, unit, currency, live)
    _emit_refunds(world, people, booked, rng, pieces, unit, currency, starts)
    return booked


def _with_failed(world: World, people: People, orders: Orders) -> tuple[Orders, Ints]:
    """Adds orders that were placed and never paid: the real ones a little earlier, given up."""
    rng = world.stream("failed_orders", people.chunk)
    share = world.parameters.purchases.failed_order_share
    fails = (rng.random(len(orders)) < share) & ~people.cast.is_cast[orders.person]
    failed = orders.take(fails)
    failed.at = failed.at - rng.integers(600, 20 * 3600, len(failed))
    registered = people.registered_at[failed.person, failed.channel]
    failed.at = np.maximum(failed.at, np.maximum(registered, people.joined_at[failed.person]))
    for flag in (failed.is_late, failed.complains):
        flag[:] = False
    every = Orders.together([orders, failed])
    status = np.concatenate(
        [np.zeros(len(orders), np.int64), 1 + pick(rng.random(len(failed)), np.array([3, 4, 3.0]))]
    )
    # Nobody walks out of a shop with an unpaid receipt.
    keep = (status == 0) | (every.channel != POS)
    order = np.flatnonzero(keep)
    order = order[np.lexsort((every.person[order], every.at[order]))]
    return every.take(order), status[order]


def _choose_products(
    world: World,
    rng: np.random.Generator,
    orders: Orders,
    line_order: Ints,
    wanted: NDArray[np.float64],
) -> tuple[Ints, Ints, Ints]:
    """The product, pieces and price whose product comes nearest to the amount wanted."""
    goods = world.catalogue
    count, width = len(line_order), goods.per_category
    category = orders.category[line_order]
    prices = goods.price_cents.reshape(-1, width)
    pieces = 1 + pick(rng.random(count), np.array([0.7, 0.2, 0.1]))
    target = np.log(np.maximum(wanted / pieces, 100.0)) + rng.uniform(0.0, 0.35, count)
    # The logarithms of all categories on one line, a wide gap apart: one search for all of them.
    line = (np.log(prices) + 100.0 * np.arange(len(prices))[:, None]).ravel()
    place = np.searchsorted(line, target + 100.0 * category) - category * width
    place = np.clip(place, 0, width - 1)
    product = category * width + place
    day = np.clip(world.calendar.day_index(orders.at), 0, world.calendar.days - 1)[line_order]
    other = category * width + np.where(place > 0, place - 1, 1)
    product = np.where(goods.is_out[product, day], other, product)
    price = goods.price_cents[product]
    pieces = np.clip(np.ceil(wanted / price * 0.999), pieces, 60).astype(np.int64)
    pieces = np.where(wanted < pieces * price * 0.5, np.maximum(1, wanted // price), pieces)
    pieces = np.maximum(pieces, 1).astype(np.int64)
    unit = np.clip(np.round(wanted / pieces), np.round(price * 0.4), price).astype(np.int64)
    return product, pieces, unit


def _order_ids(orders: Orders, number: Ints, start_at: int, store: Ints) -> pa.Array:
    """A number as the channel would give it, a receipt's behind its shop; unique in the world."""
    mixed = codes("", scramble(number, 70))
    day = pa.array((orders.at // DAY) - start_at // DAY + 100_000).cast(pa.string())
    prefix = words(_ORDER_PREFIXES, orders.channel).cast(pa.string())
    return join(_before_receipts(store), prefix, day, mixed)


def _before_receipts(store: Ints) -> pa.Array:
    """What stands before the number of a receipt: the shop; nothing on line."""
    return words(["", *(f"{name}-" for name, _ in STORES)], store + 1).cast(pa.string())


def _accounts_of(people: People, booked: Booked) -> pa.Array:
    orders = booked.orders
    index = np.where(booked.is_guest, -1, orders.channel * len(people) + orders.person)
    return words(pa.concat_arrays(people.ids), index)


def _emit_heads(
    world: World, people: People, booked: Booked, rng: np.random.Generator,
    shipping: Ints, currency: Ints, live: Ints,
) -> None:  # fmt: skip
    settings, orders = world.parameters.people, booked.orders
    count = len(orders)
    online = orders.channel != POS
    is_gift = online & (rng.random(count) < settings.gift_share) & ~booked.protected
    receiver = np.where(is_gift, rng.integers(0, len(people), count), orders.person)
    lends = (orders.channel < 3) & ~booked.protected
    is_lent = lends & (rng.random(count) < settings.virtual_phone_share)
    receiver_phone = people.phone_at(receiver, orders.at).cast(pa.string())
    receiver_phone = either(
        is_lent, lent_numbers(world, people.chunk, 4, orders.at, is_lent), receiver_phone
    )
    at_till = ~online & ~booked.is_guest
    shop_phone = ~online & (rng.random(count) < settings.store_phone_share) & ~booked.protected
    # Own shops know who is logged in, marketplaces blot it out, at a till some say a number.
    shown = np.where(orders.channel < MINI, settings.masked_phone_share, np.where(online, 1, 0.6))
    says = (rng.random(count) < shown) & (online | ~booked.is_guest)
    gives_phone = shop_phone | says
    own = _own_phones(world, people, orders, says)
    buyer_phone = either(shop_phone, words(store_phones(), booked.store).cast(pa.string()), own)
    names = world.currencies
    second = rng.random(count) < 0.35
    payments = [name for pair in _PAYMENTS for name in pair]
    token = words(people.oaid, np.where(orders.channel == TMALL, receiver, -1))
    columns = {
        "order_id": booked.order_id,
        "source_customer_id": _accounts_of(people, booked),
        "ordered_at": world.instants(orders.at),
        "order_status": words(STATUS, booked.status),
        "paid_amount": money(booked.paid_cents),
        "shipping_amount": money(shipping),
        "discount_amount": money(booked.discount_cents),
        "currency": words(names, currency),
        "payment_method": words(payments, np.where(booked.status == 0, orders.channel * 2 + second,
                                                   -1)),
        "store_id": words([name for name, _ in STORES], booked.store),
        "coupon_id": blank_where(booked.coupon < 0, coupon_ids(np.maximum(booked.coupon, 0))),
        "live_room_id": words(LIVE_ROOMS, live),
        "member_number": words(people.ids[POS], np.where(at_till, orders.person, -1)),
        "buyer_phone": blank_where(~gives_phone, buyer_phone),
        "receiver_name": words(people.name, np.where(online, receiver, -1)),
        "receiver_phone": blank_where(~online, receiver_phone),
        "receiver_address": words(people.address, np.where(online, receiver, -1)),
        "receiver_token": token,
    }  # fmt: skip
    for channel, name in enumerate(ORDER_CHANNELS):
        rows = np.flatnonzero(orders.channel == channel)
        _emit_rows(world, people, f"{name}_orders", columns, rows, orders.at[rows],
                   orders.person[rows], booked.protected[rows])  # fmt: skip


def _own_phones(world: World, people: People, orders: Orders, says: Flags) -> pa.Array:
    """The buyers' own numbers where they are told, each as the channel or the account writes it."""
    place, parts, count = np.full(len(orders), -1), [pa.nulls(0, pa.string())], 0
    for channel in range(len(ORDER_CHANNELS)):
        rows = np.flatnonzero(says & (orders.channel == channel))
        who = orders.person[rows]
        phones = people.phone_at(who, orders.at[rows]).cast(pa.string())
        if channel in MASKED_DIGITS:
            parts.append(masked_phones(phones, MASKED_DIGITS[channel]))
        else:
            parts.append(spelled_phones(world, people, channel, who, phones))
        place[rows] = count + np.arange(len(rows))
        count += len(rows)
    return words(pa.concat_arrays(parts), place).cast(pa.string())


def _emit_rows(
    world: World, people: People, feed: str, columns: dict[str, pa.Array], rows: Ints, when: Ints,
    person: Ints, protected: Flags,
) -> None:  # fmt: skip
    index = pa.array(rows)
    world.emit(
        feed, people.chunk, when, {name: values.take(index) for name, values in columns.items()},
        person=people.number[person], protected=protected,
    )  # fmt: skip


def _emit_lines(
    world: World, people: People, booked: Booked, rng: np.random.Generator,
    line_number: Ints, pieces: Ints, unit: Ints, currency: Ints, live: Ints,
) -> None:  # fmt: skip
    """Sale lines, and free samples as one more line of their order."""
    orders, goods = booked.orders, world.catalogue
    gifts = np.flatnonzero(
        (rng.random(len(orders)) < world.parameters.purchases.gift_line_share)
        & (booked.status == 0) & (orders.channel != POS)
    )  # fmt: skip
    last = np.zeros(len(orders), np.int64)
    last[booked.line_order] = line_number
    order = np.concatenate([booked.line_order, gifts])
    sample = orders.category[gifts] * goods.per_category
    product = np.concatenate([booked.line_product, sample])
    number = np.concatenate([line_number, last[gifts] + 1])
    pieces = np.concatenate([pieces, np.ones(len(gifts), np.int64)])
    unit = np.concatenate([unit, np.zeros(len(gifts), np.int64)])
    is_gift = np.arange(len(order)) >= len(booked.line_order)
    names = world.currencies
    index = pa.array(order)
    columns = {
        "order_id": booked.order_id.take(index),
        "line_number": words([str(n) for n in range(1, 9)], number - 1),
        "source_customer_id": _accounts_of(people, booked).take(index),
        "ordered_at": world.instants(orders.at[order]),
        "sku": words(goods.skus, product),
        "product_name": words(goods.names, product),
        "quantity": quantities(pieces),
        "unit_price_amount": money(unit),
        "currency": words(names, currency[order]),
        "line_kind": words(("sale", "gift"), is_gift.astype(np.int64)),
        "item_class": words(("product",), np.zeros(len(order), np.int64)),
        "country_name": words(("中国",), np.zeros(len(order), np.int64)),
        "store_id": words([name for name, _ in STORES], booked.store[order]),
        "live_room_id": words(LIVE_ROOMS, live[order]),
    }
    for channel, name in enumerate(ORDER_CHANNELS):
        if channel == POS:
            continue
        rows = np.flatnonzero(orders.channel[order] == channel)
        _emit_rows(world, people, f"{name}_order_lines", columns, rows, orders.at[order[rows]],
                   orders.person[order[rows]], booked.protected[order[rows]])  # fmt: skip
    _emit_till_lines(world, people, booked, rng, columns, order, pieces)


def _emit_till_lines(
    world: World, people: People, booked: Booked, rng: np.random.Generator,
    columns: dict[str, pa.Array], order: Ints, pieces: Ints,
) -> None:  # fmt: skip
    """Till lines; goods brought back, all or the first, are lines of a receipt of their own."""
    orders, buying = booked.orders, world.parameters.purchases
    rows = np.flatnonzero(orders.channel[order] == POS)
    is_back = (rng.random(len(orders)) < buying.refund_share) & ~booked.protected
    partly = rng.random(len(orders)) < buying.part_refund_share
    wait = rng.integers(DAY, 14 * DAY, len(orders))
    return_at = (orders.at + wait) // DAY * DAY + rng.integers(10 * 3600, 21 * 3600, len(orders))
    is_first = np.isin(rows, np.searchsorted(booked.line_order, np.arange(len(orders))))
    back = rows[is_back[order[rows]] & (is_first | ~partly[order[rows]])]
    back_at = return_at[order[back]]
    number = people.chunk * ROW_STRIDE + order[back]
    sold = {name: values.take(pa.array(rows)) for name, values in columns.items()}
    returned = {name: values.take(pa.array(back)) for name, values in columns.items()}
    returned |= {
        "order_id": join(
            _before_receipts(booked.store[order[back]]), codes("R", scramble(number, 71))
        ),
        "ordered_at": world.instants(back_at),
        "quantity": quantities(-pieces[back]),
        "line_kind": words(("refund",), np.zeros(len(back), np.int64)),
    }
    booked.refunded[order[back]] = True
    every = np.concatenate([rows, back])
    world.emit(
        "pos_order_lines", people.chunk, np.concatenate([orders.at[order[rows]], back_at]),
        {name: pa.concat_arrays([_text(sold[name]), _text(returned[name])]) for name in sold},
        person=people.number[orders.person[order[every]]],
        protected=booked.protected[order[every]],
    )  # fmt: skip


def _emit_refunds(
    world: World, people: People, booked: Booked, rng: np.random.Generator,
    pieces: Ints, unit: Ints, currency: Ints, starts: Ints,
) -> None:  # fmt: skip
    """Whole orders or one line of them, some days after the order."""
    orders, buying = booked.orders, world.parameters.purchases
    count = len(orders)
    chosen = (booked.status == 0) & (orders.channel != POS) & ~booked.protected
    chosen &= rng.random(count) < buying.refund_share
    rows = np.flatnonzero(chosen)
    booked.refunded[rows] = True
    partly = rng.random(len(rows)) < buying.part_refund_share
    first_line = (pieces * unit)[starts[rows]]
    amount = np.where(partly, np.minimum(first_line, booked.paid_cents[rows]),
                      booked.paid_cents[rows])  # fmt: skip
    when = orders.at[rows] + (rng.gamma(2.5, 2.5, len(rows)) * DAY).astype(np.int64) + 1800
    number = people.chunk * ROW_STRIDE + rows
    names = world.currencies
    columns = {
        "refund_id": codes("RF", scramble(number, 72)),
        "order_id": booked.order_id.take(pa.array(rows)),
        "source_customer_id": _accounts_of(people, booked).take(pa.array(rows)),
        "refunded_at": world.instants(when),
        "refund_amount": money(amount),
        "currency": words(names, currency[rows]),
        "refund_reason": words(_REASONS, rng.integers(0, len(_REASONS), len(rows))),
        "sku": words(world.catalogue.skus, np.where(partly, booked.main_product[rows], -1)),
    }
    for channel, name in enumerate(ORDER_CHANNELS):
        if channel == POS:
            continue
        mine = np.flatnonzero((orders.channel[rows] == channel) & (amount > 0))
        _emit_rows(world, people, f"{name}_refunds", columns, mine, when[mine],
                   orders.person[rows[mine]], booked.protected[rows[mine]])  # fmt: skip


def emit_parcels(world: World, people: People, booked: Booked) -> None:
    """One parcel per paid online order: a version when it leaves, one when it arrives."""
    orders, parcels = booked.orders, world.parameters.parcels
    rng = world.stream("parcels", people.chunk)
    rows = np.flatnonzero((booked.status == 0) & (orders.channel != POS))
    count = len(rows)
    shipped = orders.at[rows] + rng.integers(3 * 3600, 30 * 3600, count)
    promised = shipped // DAY * DAY + int(parcels.promised_days) * DAY + DAY - 1
    slack = promised - shipped
    early = shipped + (slack * rng.beta(3, 2.5, count)).astype(np.int64)
    late = promised + (rng.gamma(2, 1.2, count) * DAY).astype(np.int64) + 7200
    delivered = np.where(orders.is_late[rows], late, early)
    is_lost = (rng.random(count) < parcels.lost_share) & ~booked.protected[rows]
    booked.delivered_at[rows] = np.where(is_lost, 0, delivered)
    lost_at = promised + 10 * DAY
    number = people.chunk * ROW_STRIDE + rows
    index = pa.array(np.concatenate([np.arange(count), np.arange(count)]))
    arrived = np.concatenate([np.zeros(count, bool), np.ones(count, bool)])
    twice = np.concatenate([rows, rows])
    status = np.where(arrived, np.where(np.tile(is_lost, 2), 2, 1), 0)
    when = np.concatenate([shipped, np.where(is_lost, lost_at, delivered)])
    world.emit(
        "logistics_shipments", people.chunk, when,
        {
            "shipment_id": codes("SF", scramble(number, 73)).take(index),
            "order_channel": words(ORDER_CHANNELS, orders.channel[twice]),
            "order_id": booked.order_id.take(pa.array(twice)),
            "carrier_name": words(_CARRIERS, rng.integers(0, len(_CARRIERS), count)).take(index),
            "shipment_status": words(("shipped", "delivered", "lost"), status),
            "shipped_at": world.instants(np.tile(shipped, 2)),
            "promised_at": world.instants(np.tile(promised, 2)),
            "delivered_at": world.instants(np.tile(delivered, 2), status != 1),
            "city_name": words([n for n, *_ in CITIES], people.city[orders.person[twice]]),
        },
        person=people.number[orders.person[twice]], protected=booked.protected[twice],
        updated=when,
    )  # fmt: skip


def coupon_ids(number: Ints) -> pa.Array:
    """The coupon of an order number; those never redeemed have numbers beyond all orders."""
    return codes("CP", scramble(number, 74))


def store_phones() -> list[str]:
    """The shops' own phones, which clerks type in when a customer gives none."""
    return [f"0{21 + city % 9}-5{number:03d}{number * 37 % 10000:04d}" for number, (_, city) in
            enumerate(STORES, start=1)]  # fmt: skip


def _text(values: pa.Array) -> pa.Array:
    return values.cast(pa.string()) if isinstance(values, pa.DictionaryArray) else values
