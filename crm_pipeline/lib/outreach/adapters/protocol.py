"""What every way of delivery has in common.

Add here: what one call of an adapter may come to.
Not here: how one provider is called, what a claim becomes (``dispatch``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from crm_pipeline.lib.outreach.message import Message

# accepted   the provider took it
# rejected   the provider will never take it: another way of contact may be tried
# refused    certainly nobody took it: the same message may be tried again later
# uncertain  perhaps it was taken: never sent again unless a receipt or a person says what happened
Outcome = Literal["accepted", "rejected", "refused", "uncertain"]


@dataclass(frozen=True)
class Delivery:
    """What a call came to; ``detail`` is a code, never an address or a text of the provider."""

    outcome: Outcome
    reference: str | None = None  # the provider's own id of the message
    detail: str | None = None
    retry_after: float | None = None  # seconds the provider asks to be left alone


class Adapter(Protocol):
    """Delivers one message at a time; ``deliver`` never raises for what a provider does."""

    @property
    def name(self) -> str:
        """The adapter's name in ``deliveries``."""
        ...

    def deliver(self, message: Message, address: str) -> Delivery:
        """Hands the message to the provider once; the address is in the clear and is not kept."""
        ...
