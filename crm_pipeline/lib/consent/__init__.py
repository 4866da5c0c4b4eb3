"""What people agreed to.

Add here: contact tokens, the consent ledger, suppression.
Not here: who is contacted (``lib/outreach``).
"""

from crm_pipeline.lib.consent.contacts import Contact, normalise_contact, tokenise_contact
from crm_pipeline.lib.consent.ledger import PostedConsents, post_consents
from crm_pipeline.lib.consent.state import ConsentState, current_consent, find_consents

__all__ = [
    "ConsentState",
    "Contact",
    "PostedConsents",
    "current_consent",
    "find_consents",
    "normalise_contact",
    "post_consents",
    "tokenise_contact",
]
