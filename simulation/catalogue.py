"""What the shop sells, where, and when it was out of stock.

Add here: a category, a shop, a live room.
Not here: who buys it (``purchases``), how the ERP lists it (``supply``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from simulation.parameters import WorldParameters
from simulation.randomness import GLOBAL_CHUNK, stream
from simulation.seasons import Calendar

__all__ = [
    "CATEGORIES",
    "CATEGORY_NAMES",
    "CITIES",
    "LIVE_ROOMS",
    "PERSONAS",
    "STORES",
    "Catalogue",
    "stock_out_share",
]


@dataclass(frozen=True)
class Category:
    """One category; prices in the world's currency, ``replenish_days`` 0 = it is not used up."""

    name: str
    label: str
    goods: tuple[str, ...]
    lowest_price: float
    highest_price: float
    replenish_days: int
    is_connected: bool = False


CATEGORIES: tuple[Category, ...] = (
    Category("diapers", "纸尿裤", ("纸尿裤", "拉拉裤", "隔尿垫", "湿巾"), 19, 399, 30),
    Category(
        "milk_powder", "婴幼儿奶粉", ("一段奶粉", "二段奶粉", "三段奶粉", "米粉"), 39, 899, 28
    ),
    Category("nursery", "婴儿家具床品", ("婴儿床", "床围", "睡袋", "尿布台"), 29, 2399, 0),
    Category("skin_care", "护肤", ("精华", "面霜", "洁面乳", "防晒乳"), 29, 1299, 45),
    Category("make_up", "彩妆", ("口红", "粉底液", "眼影盘", "卸妆膏"), 25, 799, 60),
    Category("fitness_gear", "健身器材", ("瑜伽垫", "哑铃", "跳绳", "划船机"), 29, 2999, 0),
    Category("sports_nutrition", "运动营养", ("蛋白粉", "能量棒", "电解质水", "肌酸"), 19, 699, 35),
    Category(
        "water_care", "净水", ("净水器", "滤芯", "台式净饮机", "花洒滤芯"), 39, 3299, 90, True
    ),
    Category("kitchen", "厨房小电", ("破壁机", "空气炸锅", "电饭煲", "养生壶"), 49, 1999, 0),
    Category("cleaning", "家居清洁", ("洗衣液", "洗碗块", "地板清洁片", "环保垃圾袋"), 12, 299, 40),
    Category("tea_snacks", "茶饮零食", ("乌龙茶", "坚果礼盒", "燕麦片", "果干"), 12, 499, 21),
    Category("pet_food", "宠物主粮", ("猫粮", "犬粮", "冻干零食", "猫砂"), 19, 599, 30),
)
CATEGORY_NAMES = tuple(category.name for category in CATEGORIES)

# What kinds of households there are, and what each of them buys.
PERSONAS: tuple[tuple[str, float, dict[str, float]], ...] = (
    ("parent", 0.28, {"diapers": 5, "milk_powder": 4, "nursery": 2.5, "cleaning": 1.5}),
    ("beauty", 0.24, {"skin_care": 5, "make_up": 4, "tea_snacks": 1.5}),
    ("fitness", 0.16, {"fitness_gear": 3, "sports_nutrition": 4, "tea_snacks": 1}),
    ("home", 0.20, {"kitchen": 3, "cleaning": 4, "water_care": 3, "tea_snacks": 2}),
    ("pet", 0.12, {"pet_food": 6, "cleaning": 2, "tea_snacks": 1}),
)
_EVERYBODY = 0.5  # weight of a category nobody of that kind is known for

# City, province, dialling code, share of the people.
CITIES: tuple[tuple[str, str, str, float], ...] = (
    ("上海", "上海市", "021", 0.16), ("北京", "北京市", "010", 0.13),
    ("广州", "广东省", "020", 0.10), ("深圳", "广东省", "0755", 0.10),
    ("杭州", "浙江省", "0571", 0.09), ("成都", "四川省", "028", 0.08),
    ("武汉", "湖北省", "027", 0.07), ("南京", "江苏省", "025", 0.06),
    ("西安", "陕西省", "029", 0.05), ("重庆", "重庆市", "023", 0.05),
    ("苏州", "江苏省", "0512", 0.04), ("青岛", "山东省", "0532", 0.03),
    ("沈阳", "辽宁省", "024", 0.02), ("昆明", "云南省", "0871", 0.02),
)  # fmt: skip
STORES: tuple[tuple[str, int], ...] = tuple(
    (f"S{number:03d}", number % len(CITIES)) for number in range(1, 29)
)
LIVE_ROOMS: tuple[str, ...] = tuple(f"LR{number:05d}" for number in range(20101, 20113))
GUIDES_PER_STORE = 6
_STOCK_OUT_TIME = 546  # days in which a product runs out as often as declared: 18 months

_BRANDS = ("栗禾", "沐岚", "青芽屋", "朵木", "云汀", "小满山", "知橙", "白露町")
_PACKS = ("标准装", "家庭装", "旅行装", "加量装", "礼盒装", "经典款", "轻享款", "旗舰款")


def stock_out_share(parameters: WorldParameters) -> float:
    """The share of days on which a product cannot be had."""
    shortest, longest = parameters.supply.stock_out_days
    days = parameters.supply.stock_outs_per_product * (shortest + longest - 1) / 2
    return 1 - math.exp(-days / _STOCK_OUT_TIME)


class Catalogue:
    """The products as arrays; product numbers count from the cheapest of the first category."""

    def __init__(self, parameters: WorldParameters, calendar: Calendar) -> None:
        supply = parameters.supply
        rng = stream(parameters.world.seed, "catalogue", GLOBAL_CHUNK)
        self.per_category = supply.products_per_category
        self.count = self.per_category * len(CATEGORIES)
        self.category = np.repeat(np.arange(len(CATEGORIES)), self.per_category)
        steps = np.tile(np.linspace(0, 1, self.per_category), len(CATEGORIES))
        low = np.array([c.lowest_price for c in CATEGORIES])[self.category]
        high = np.array([c.highest_price for c in CATEGORIES])[self.category]
        prices = low * (high / low) ** steps * np.exp(rng.normal(0, 0.02, self.count))
        # Whole prices ending in .00 or .90, as on shop labels, kept in rising order.
        whole = np.round(prices).astype(np.int64).reshape(len(CATEGORIES), -1)
        whole = np.maximum.accumulate(whole, axis=1).ravel()
        self.price_cents = whole * 100 - np.where(rng.random(self.count) < 0.5, 10, 0)
        self.replenish_days = np.array([c.replenish_days for c in CATEGORIES])[self.category]
        self.is_connected = np.array([c.is_connected for c in CATEGORIES])[self.category]
        rank = np.tile(np.arange(self.per_category), len(CATEGORIES))
        self.is_premium = rank >= round(self.per_category * (1 - supply.premium_share))
        self.skus = pa.array(
            [f"SP{c + 1:02d}{n + 1:03d}" for c, n in zip(self.category, rank, strict=True)]
        )
        self.brands = pa.array([_BRANDS[(7 * c + n // 5) % len(_BRANDS)] for c, n in zip(
            self.category, rank, strict=True)])  # fmt: skip
        places = zip(self.category.tolist(), rank.tolist(), strict=True)
        self.names = pa.array([self._name(c, n) for c, n in places])
        self.is_out = self._stock_outs(parameters, calendar)

    def _name(self, category: int, rank: int) -> str:
        goods = CATEGORIES[category].goods
        is_premium = self.is_premium[rank]
        line = "臻选" if is_premium else ""
        brand = _BRANDS[(7 * category + rank // 5) % len(_BRANDS)]
        return f"{brand}{line}{goods[rank % len(goods)]} {_PACKS[rank % len(_PACKS)]}{rank + 1}号"

    def _stock_outs(self, parameters: WorldParameters, calendar: Calendar) -> NDArray[np.bool_]:
        """For each product and day, whether it could not be had."""
        rng = stream(parameters.world.seed, "stock_outs", GLOBAL_CHUNK)
        shortest, longest = parameters.supply.stock_out_days
        is_out = np.zeros((self.count, calendar.days), bool)
        how_many = rng.poisson(
            parameters.supply.stock_outs_per_product * calendar.days / _STOCK_OUT_TIME, self.count
        )
        for product in np.repeat(np.arange(self.count), how_many).tolist():
            start = int(rng.integers(0, calendar.days))
            length = int(rng.uniform(shortest, longest))
            is_out[product, start : start + length] = True
        is_out[:, -1] = False  # what is gone on the last day is planted by name
        return is_out

    def persona_weights(self) -> NDArray[np.float64]:
        """How much each kind of person wants each category."""
        rows = [
            [wishes.get(name, _EVERYBODY) for name in CATEGORY_NAMES] for _, _, wishes in PERSONAS
        ]
        weights = np.array(rows)
        return weights / weights.sum(axis=1, keepdims=True)
