"""What people agreed to.

Add here: contact tokens, the consent ledger, suppression.
Not here: who is contacted (``lib/outreach``).
"""

from crm_pipeline.lib.consent.contacts import Contact, normalise_contact, tokenise_contact
from crm_pipeline.lib.consent.ledger import PostedConsents, post_consents
from crm_pipeline.lib.consent.opt_outs import PostedOptOuts, is_opt_out, post_opt_outs
from crm_pipeline.lib.consent.state import ConsentState, current_consent, find_consents

__all__ = [
    "ConsentState",
    "Contact",
    "PostedConsents",
    "PostedOptOuts",
    "current_consent",
    "find_consents",
    "is_opt_out",
    "normalise_contact",
    "post_consents",
    "post_opt_outs",
    "tokenise_contact",
]
