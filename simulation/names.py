"""Names, addresses and numbers of people who do not exist.

Add here: a made-up word or number of a person.
Not here: real lists of anything.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from simulation.catalogue import CITIES
from simulation.columns import Ints, join, scramble, words

__all__ = ["GIVEN", "SURNAMES", "address_texts", "emails", "full_names", "mobile_numbers", "pinyin"]

# Surname and how it sounds.
SURNAMES = (
    ("王", "wang"), ("李", "li"), ("张", "zhang"), ("刘", "liu"), ("陈", "chen"), ("杨", "yang"),
    ("黄", "huang"), ("赵", "zhao"), ("吴", "wu"), ("周", "zhou"), ("徐", "xu"), ("孙", "sun"),
    ("马", "ma"), ("朱", "zhu"), ("胡", "hu"), ("郭", "guo"), ("何", "he"), ("林", "lin"),
    ("高", "gao"), ("罗", "luo"), ("郑", "zheng"), ("梁", "liang"), ("谢", "xie"), ("宋", "song"),
    ("唐", "tang"), ("许", "xu"), ("韩", "han"), ("冯", "feng"), ("邓", "deng"), ("曹", "cao"),
    ("彭", "peng"), ("曾", "zeng"), ("萧", "xiao"), ("田", "tian"), ("董", "dong"), ("潘", "pan"),
    ("袁", "yuan"), ("蔡", "cai"), ("蒋", "jiang"), ("余", "yu"), ("于", "yu"), ("杜", "du"),
    ("叶", "ye"), ("程", "cheng"), ("魏", "wei"), ("苏", "su"), ("吕", "lv"), ("丁", "ding"),
    ("欧阳", "ouyang"), ("司徒", "situ"),
)  # fmt: skip
# Given syllable, one that sounds the same (how a hurried clerk writes it), and the sound.
GIVEN = (
    ("伟", "玮", "wei"), ("芳", "方", "fang"), ("娜", "纳", "na"), ("敏", "民", "min"),
    ("静", "婧", "jing"), ("丽", "莉", "li"), ("强", "蔷", "qiang"), ("磊", "雷", "lei"),
    ("洋", "阳", "yang"), ("艳", "燕", "yan"), ("勇", "永", "yong"), ("军", "君", "jun"),
    ("杰", "洁", "jie"), ("娟", "涓", "juan"), ("涛", "韬", "tao"), ("明", "鸣", "ming"),
    ("超", "朝", "chao"), ("秀", "岫", "xiu"), ("霞", "遐", "xia"), ("平", "萍", "ping"),
    ("刚", "钢", "gang"), ("桂", "贵", "gui"), ("欣", "新", "xin"), ("雨", "宇", "yu"),
    ("梓", "子", "zi"), ("涵", "晗", "han"), ("浩", "皓", "hao"), ("然", "燃", "ran"),
    ("思", "诗", "si"), ("佳", "嘉", "jia"), ("琪", "奇", "qi"), ("轩", "萱", "xuan"),
    ("晨", "辰", "chen"), ("悦", "月", "yue"), ("博", "铂", "bo"), ("文", "雯", "wen"),
    ("怡", "宜", "yi"), ("婷", "庭", "ting"), ("俊", "骏", "jun"), ("晓", "小", "xiao"),
    ("慧", "惠", "hui"), ("建", "健", "jian"), ("国", "帼", "guo"), ("华", "桦", "hua"),
    ("玲", "铃", "ling"), ("鹏", "朋", "peng"), ("飞", "菲", "fei"), ("倩", "茜", "qian"),
    ("宁", "柠", "ning"), ("凯", "楷", "kai"), ("瑶", "遥", "yao"), ("睿", "瑞", "rui"),
)  # fmt: skip
# Opening digits of mobile numbers that are in use; lent numbers begin with 17.
_PREFIXES = np.array(
    [130, 131, 132, 133, 135, 136, 137, 138, 139, 150, 151, 152, 153, 155, 156, 157, 158, 159,
     180, 181, 182, 183, 185, 186, 187, 188, 189]
)  # fmt: skip
_LENT_PREFIXES = np.array([170, 171, 172, 173])
_MAIL_HOSTS = ("mail.example.com", "post.example.net", "qmail.example.org", "box.example.com")
_DISTRICTS = ("东城区", "西湖区", "南山区", "江北区", "高新区", "临江区", "新桥区", "云谷区")
_ROADS = (
    "梧桐路",
    "银杏街",
    "望江路",
    "学府路",
    "长青街",
    "桃源路",
    "星河大道",
    "春晖路",
    "文锦街",
    "秋实路",
)
_ESTATES = ("青禾苑", "临水家园", "云上花园", "向阳里", "和风公馆", "枫林小区", "锦绣坊", "明月湾")


def full_names(surname: Ints, first: Ints, second: Ints) -> pa.Array:
    """Chinese names; ``second`` below 0 means one given syllable. Indices beyond the list are
    the like-sounding spelling.
    """
    family = words([name for name, _ in SURNAMES], surname).cast(pa.string())
    spellings = [s for s, _, _ in GIVEN] + [s for _, s, _ in GIVEN] + [""]
    one = words(spellings, first).cast(pa.string())
    two = words(spellings, np.where(second < 0, 2 * len(GIVEN), second)).cast(pa.string())
    return join(family, one, two)


def pinyin(surname: Ints, first: Ints) -> pa.Array:
    """How a name sounds, for mail addresses."""
    family = words([sound for _, sound in SURNAMES], surname).cast(pa.string())
    return join(family, ".", words([sound for *_, sound in GIVEN], first).cast(pa.string()))


def mobile_numbers(numbers: Ints, *, lent: bool = False) -> pa.Array:
    """One mobile number for each number below 1e8, never two the same."""
    prefixes = _LENT_PREFIXES if lent else _PREFIXES
    # The factor has no divisor in common with 2, 3 or 5: one to one over all numbers there are.
    mixed = (numbers * 1_618_033 + 7) % (len(prefixes) * 10**8)
    return pa.array(prefixes[mixed % len(prefixes)] * 10**8 + mixed // len(prefixes)).cast(
        pa.string()
    )


def emails(surname: Ints, first: Ints, numbers: Ints) -> pa.Array:
    """One mail address for each number, at hosts reserved for examples."""
    host = words(_MAIL_HOSTS, numbers % len(_MAIL_HOSTS)).cast(pa.string())
    return join(pinyin(surname, first), pa.array(numbers).cast(pa.string()), "@", host)


def address_texts(city: Ints, place: NDArray[np.int64]) -> pa.Array:
    """One address for each place number in a city."""
    mixed = scramble(place, salt=5)
    label = [f"{province}{name}市" if province[:2] != name else province
             for name, province, *_ in CITIES]  # fmt: skip
    number = pa.array(mixed // 640 % 900 + 1).cast(pa.string())
    door = pa.array(mixed // 576_000 % 40 + 1).cast(pa.string())
    room = pa.array((mixed // 23_040_000 % 30 + 1) * 100 + mixed % 6 + 1).cast(pa.string())
    return join(
        words(label, city).cast(pa.string()),
        words(_DISTRICTS, mixed % 8).cast(pa.string()),
        words(_ROADS, mixed // 8 % 10).cast(pa.string()),
        number, "号",
        words(_ESTATES, mixed // 80 % 8).cast(pa.string()),
        door, "幢", room, "室",
    )  # fmt: skip
