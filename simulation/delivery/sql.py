"""SQL words every channel uses to write its cells.

Add here: a spelling more than one channel has.
Not here: a channel's own columns.

``stamp(t)`` 2026-01-31 18:04:05, ``slashed(t)`` 2026/01/31 18:04, ``day(t)`` 2026-01-31, all in the
world's zone · ``local_time(t)`` · ``epoch_s(t)`` ``epoch_ms(t)`` · ``money(x)`` 12.50 · ``fen(x)``
1250 · ``masked_phone(p)`` 138****8000 · ``masked_name(n)`` 张** · ``json_text(x)`` · ``plain(x)`` a
number without needless zeros · ``token(x, salt)`` 32 hex digits that stand for ``x``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb


def create_words(connection: duckdb.DuckDBPyConnection, zone: str, around: datetime) -> None:
    """Defines the words on ``connection``.

    A zone without summer time is a fixed distance, which costs nothing per record.
    """
    distances = {_distance(zone, around + timedelta(days=days)) for days in range(-730, 731, 7)}
    if len(distances) == 1:
        seconds = int(distances.pop().total_seconds())
        local = f"(t + interval {seconds} second)"
    else:
        local = f"timezone('{zone}', timezone('UTC', t))"
    for word in (
        f"local_time(t) as {local}",
        "stamp(t) as left(cast(local_time(t) as varchar), 19)",
        "slashed(t) as strftime(local_time(t), '%Y/%m/%d %H:%M')",
        "day(t) as cast(cast(local_time(t) as date) as varchar)",
        "epoch_s(t) as cast(epoch_us(t) // 1000000 as varchar)",
        "epoch_ms(t) as cast(epoch_us(t) // 1000 as varchar)",
        "money(x) as cast(cast(x as decimal(18,2)) as varchar)",
        "fen(x) as cast(cast(x * 100 as bigint) as varchar)",
        "plain(x) as case when contains(cast(x as varchar), '.')"
        " then rtrim(rtrim(cast(x as varchar), '0'), '.') else cast(x as varchar) end",
        "masked_phone(p) as left(p, length(p) - 8) || '****' || right(p, 4)",
        "masked_name(n) as left(n, 1) || repeat('*', greatest(length(n) - 1, 1)::int)",
        "json_text(x) as cast(to_json(cast(x as varchar)) as varchar)",
        "token(x, salt) as md5(salt || x)",
    ):
        connection.execute(f"create or replace macro {word}")


def _distance(zone: str, moment: datetime) -> timedelta:
    return ZoneInfo(zone).utcoffset(moment.replace(tzinfo=None)) or timedelta(0)


def literal(value: object) -> str:
    """``value`` as an SQL text."""
    return "'" + str(value).replace("'", "''") + "'"
