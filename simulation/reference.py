"""Records that belong to nobody: catalogue, stock, rates, weather, marketing spend.

Add here: a feed without a person.
Not here: the catalogue itself (``catalogue``).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from simulation.catalogue import CATEGORIES, CITIES
from simulation.columns import codes, const, decimals, join, money, quantities, words
from simulation.randomness import GLOBAL_CHUNK
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["LOCATIONS", "emit_reference"]

LOCATIONS = ("WH-EAST", "WH-SOUTH")
_ALERT_KINDS = ("heat", "cold", "rain", "storm", "snow", "haze", "dry")
_LEVELS = ("blue", "yellow", "orange", "red")
_CAMPAIGNS = (
    ("tmall_zhitongche", "tmall", "搜索推广"), ("tmall_yinli", "tmall", "人群推广"),
    ("jd_kuaiche", "jd", "京东快车"), ("douyin_feed", "douyin", "信息流"),
    ("douyin_live", "douyin", "直播引流"), ("wechat_moments", "mini_program", "朋友圈广告"),
    ("app_store", "app", "应用商店"), ("store_flyer", "pos", "门店传单"),
)  # fmt: skip


def emit_reference(world: World) -> None:
    """Writes every feed without a person."""
    _emit_products(world)
    _emit_stock(world)
    _emit_rates(world)
    _emit_weather(world)
    _emit_spend(world)


def _emit_products(world: World) -> None:
    """Each product once at the start, and again whenever its price changed."""
    goods, calendar = world.catalogue, world.calendar
    rng = world.stream("erp_products")
    listed = calendar.start_at - rng.integers(30, 700, goods.count) * DAY
    product = np.arange(goods.count)
    change_count = rng.poisson(calendar.days / 365 * 0.8, goods.count)
    changed = np.repeat(product, change_count)
    changed_at = calendar.start_at + rng.integers(DAY, calendar.days * DAY, len(changed))
    order = np.lexsort((changed_at, changed))
    changed, changed_at = changed[order], changed_at[order]
    # A version shows list prices that wander around the catalogue's; the last one is the catalogue.
    wander = np.round(goods.price_cents[changed] * rng.uniform(0.94, 1.06, len(changed)) / 10) * 10
    is_last = np.append(changed[1:] != changed[:-1], True)[: len(changed)]
    wander = np.where(is_last, goods.price_cents[changed], wander)
    rows = np.concatenate([product, changed])
    when = np.concatenate([np.full(goods.count, calendar.start_at), changed_at])
    prices = np.concatenate([goods.price_cents, wander]).astype(np.int64)
    category = goods.category[rows]
    world.emit(
        "erp_products", GLOBAL_CHUNK, when,
        {
            "sku": words(goods.skus, rows),
            "product_name": words(goods.names, rows),
            "category_name": words([c.label for c in CATEGORIES], category),
            "brand_name": words(goods.brands, rows),
            "list_price_amount": money(prices),
            "currency": const(world.parameters.world.currency, len(rows)),
            "is_premium": pa.array(goods.is_premium[rows]),
            "barcode": codes("69", rows + 1_000_000_001, digits=11),
            "erp_sku": words(goods.skus, rows),
            "replenish_days": quantities(goods.replenish_days[rows]),
            "listed_at": world.instants(listed[rows]),
        },
        updated=when,
    )  # fmt: skip


def _emit_stock(world: World) -> None:
    """A count of every product in every warehouse; on the last day two products are special."""
    goods, calendar = world.catalogue, world.calendar
    rng = world.stream("erp_stock")
    days = np.unique(
        np.append(
            np.arange(0, calendar.days, world.parameters.supply.stock_count_days),
            np.arange(calendar.days - 3, calendar.days),
        )
    )
    shape = (len(days), len(LOCATIONS), goods.count)
    cover = rng.gamma(6, 1, (1, len(LOCATIONS), goods.count)) * 40
    level = (cover * rng.uniform(0.4, 1.6, shape)).astype(np.int64) + 6
    level[goods.is_out[:, days].T[:, None, :].repeat(len(LOCATIONS), axis=1)] = 0
    special = world.last_day_stock
    for product, pieces in special.items():
        level[-1, :, product] = 0
        level[-1, 0, product] = pieces
    day, location, product = (axis.ravel() for axis in np.indices(shape))
    when = calendar.start_at + days[day] * DAY + 21 * 3600 + location * 600
    flat = level.ravel()
    is_special = np.isin(product, list(special)) & (day == len(days) - 1)
    # Of a special product everything counted is there to be bought, whatever the draw says.
    reserved = np.where(is_special, 0, np.minimum(rng.poisson(2, len(flat)), flat))
    world.emit(
        "erp_stock", GLOBAL_CHUNK, when,
        {
            "sku": words(goods.skus, product),
            "location_id": words(LOCATIONS, location),
            "counted_at": world.instants(when),
            "quantity_on_hand": quantities(flat),
            "quantity_reserved": quantities(reserved),
        },
        protected=is_special,
    )  # fmt: skip


def _emit_rates(world: World) -> None:
    """One rate per currency and day, weekends too; the world's own currency is the quote."""
    calendar = world.calendar
    rng = world.stream("fx_rates")
    home, rates = world.parameters.world.currency, world.parameters.supply.exchange_rates
    day, currency = (axis.ravel() for axis in np.indices((calendar.days, len(rates))))
    steps = np.cumsum(rng.normal(0, 0.0012, (calendar.days, len(rates))), axis=0)
    walk = np.array(list(rates.values())) * np.exp(steps)
    when = calendar.start_at + day * DAY + 9 * 3600
    world.emit(
        "fx_rates", GLOBAL_CHUNK, when,
        {
            "base_currency": words(list(rates), currency),
            "quote_currency": const(home, len(day)),
            "rate_date": _dates(when),
            "rate": decimals(np.round(walk.ravel() * 1_000_000).astype(np.int64), 6),
        },
    )  # fmt: skip


def _emit_weather(world: World) -> None:
    """Warnings by city; the last day has one in the first city."""
    rng = world.stream("weather_alerts")
    city, when = world.alerts
    city, when = city[:-1], when[:-1]
    count = len(city)
    month = when.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    is_summer, is_winter = (month >= 5) & (month <= 9), (month <= 2) | (month >= 11)
    summer, winter, between = np.array([0, 2, 3]), np.array([1, 4, 5]), np.array([2, 5, 6])
    draw = rng.integers(0, 3, count)
    kind = np.where(is_summer, summer[draw], np.where(is_winter, winter[draw], between[draw]))
    level = rng.choice(4, count, p=[0.45, 0.35, 0.15, 0.05])
    city, when = world.alerts
    kind, level = np.append(kind, 0), np.append(level, 2)
    starts = when + 3600
    lasts = np.append(rng.integers(6, 48, count), 36) * 3600
    number = np.arange(count + 1)
    world.emit(
        "weather_alerts", GLOBAL_CHUNK, when,
        {
            "alert_id": codes("WA", number, digits=7),
            "city_name": words([name for name, *_ in CITIES], city),
            "alert_kind": words(_ALERT_KINDS, kind),
            "alert_level": words(_LEVELS, level),
            "issued_at": world.instants(when),
            "starts_at": world.instants(starts),
            "ends_at": world.instants(starts + lasts),
        },
        protected=number == count,
    )  # fmt: skip


def _emit_spend(world: World) -> None:
    """What each campaign cost on each day; more in season."""
    calendar = world.calendar
    rng = world.stream("ad_spend")
    day, campaign = (a.ravel() for a in np.indices((calendar.days, len(_CAMPAIGNS))))
    budget = 30.0 * world.parameters.world.people / 100 * calendar.factors[day]
    spend = budget * rng.gamma(8, 1 / 8, len(day)) * (0.5 + campaign / len(_CAMPAIGNS))
    shown = rng.poisson(spend * 22)
    when = calendar.start_at + day * DAY + 12 * 3600
    number = when.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
    world.emit(
        "ad_spend", GLOBAL_CHUNK, when,
        {
            "ad_platform": words([c[0].split("_")[0] for c in _CAMPAIGNS], campaign),
            "campaign_id": join(words([c[0] for c in _CAMPAIGNS], campaign).cast(pa.string()),
                                "_", pa.array(number).cast(pa.string())),
            "campaign_name": words([c[2] for c in _CAMPAIGNS], campaign),
            "spent_on": _dates(when),
            "promoted_channel": words([c[1] for c in _CAMPAIGNS], campaign),
            "spend_amount": money(np.round(spend * 100).astype(np.int64)),
            "currency": const(world.parameters.world.currency, len(day)),
            "impression_count": pa.array(shown),
            "click_count": pa.array(rng.binomial(shown, 0.018)),
        },
    )  # fmt: skip


def _dates(local: NDArray[np.int64]) -> pa.Array:
    return pa.array((local // DAY).astype(np.int32)).cast(pa.date32())
