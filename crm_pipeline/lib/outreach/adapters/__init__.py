"""Ways of delivery. Add here: which address opens which adapter. Not here: how one works."""

from __future__ import annotations

from collections.abc import Mapping

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.outreach.adapters import sms, smtp, webhook, wecom
from crm_pipeline.lib.outreach.adapters.http import Patience
from crm_pipeline.lib.outreach.adapters.network import parse_url
from crm_pipeline.lib.outreach.adapters.protocol import Adapter, Delivery
from crm_pipeline.lib.outreach.adapters.wecom import WecomProvider
from crm_pipeline.lib.outreach.journey import CHANNELS

FILE = "file:"
DEFAULT = "file:csv"

__all__ = [
    "Adapter",
    "Delivery",
    "WecomProvider",
    "delivery_url",
    "open_adapter",
]


def delivery_url(channel: str, environment: Mapping[str, str]) -> str:
    """The address messages of a channel are delivered to; ``file:…`` is no adapter of calls."""
    return environment.get(f"CRM_DELIVERY_{channel.upper()}") or DEFAULT


def open_adapter(
    channel: str, environment: Mapping[str, str], *, patience: Patience | None = None
) -> Adapter | WecomProvider:
    """The adapter ``CRM_DELIVERY_<CHANNEL>`` names.

    Raises:
        ConfigError: the address is none, is forbidden, holds a secret, or does not fit the channel.
    """
    variable = f"CRM_DELIVERY_{channel.upper()}"
    if channel not in CHANNELS:
        raise ConfigError(
            f"there is no channel {channel!r}", remedy=f"channels are {', '.join(CHANNELS)}"
        )
    text, patience = delivery_url(channel, environment), patience or Patience()
    kind = text.partition("://")[0]
    if kind in ("webhook+https", "webhook+http"):
        url = parse_url(variable, text, options=webhook.OPTIONS, environment=environment)
        return webhook.WebhookAdapter.from_url(url, patience)
    if kind in ("smtp", "smtps") and channel == "email":
        url = parse_url(variable, text, options=smtp.OPTIONS, environment=environment)
        return smtp.SmtpAdapter.from_url(url, patience)
    if kind in ("sms+https", "sms+http") and channel == "sms":
        url = parse_url(variable, text, options=sms.OPTIONS, environment=environment)
        return sms.SmsAdapter.from_url(url, patience)
    if kind in ("wecom+https", "wecom+http") and channel == "wecom":
        url = parse_url(variable, text, options=wecom.OPTIONS, environment=environment)
        return wecom.WecomProvider.from_url(url, patience)
    raise ConfigError(
        f"no adapter of {channel} has this address",
        where=variable,
        remedy="write file:csv, file:jsonl, webhook+https://…, smtp://… for email, sms+https://… "
        "for sms, or wecom+https://… for wecom",
    )
