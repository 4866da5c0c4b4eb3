"""The wall clock of delivery, which a rehearsal may set.

Add here: where an instant comes from that no build may depend on.
Not here: business days (``as_of``), the logical clock of decisions (``lib/outreach/moments``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from crm_pipeline.lib.errors import ConfigError

VARIABLE = "CRM_CLOCK"


def wall_clock(environment: Mapping[str, str]) -> dt.datetime:
    """Now, as a naive UTC instant; in a dry run the instant ``CRM_CLOCK`` names.

    A made-up shop and a past day have batches that are long over by the clock on the wall: a dry
    run may look at them as of their own morning. What is really delivered knows the real time only.

    Raises:
        ConfigError: ``CRM_CLOCK`` is no instant with a zone, or is set although delivery is live.
    """
    text = environment.get(VARIABLE)
    if not text:
        return dt.datetime.now(dt.UTC).replace(tzinfo=None)
    if environment.get("CRM_DELIVERY") == "live":
        raise ConfigError(
            "a set clock and live delivery exclude each other",
            where=VARIABLE,
            remedy="unset CRM_CLOCK; it is for rehearsals only",
        )
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(
            f"{text!r} is no instant with a zone",
            where=VARIABLE,
            remedy="write for example CRM_CLOCK=2026-07-01T10:30+08:00",
        )
    return moment.astimezone(dt.UTC).replace(tzinfo=None)
