"""Contact points: one spelling, one token, one mask.

Add here: kinds of contact and what can be sent to them.
Not here: what a contact agreed to, how phones and addresses are spelled (``ml.identity``).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from crm_pipeline.lib.privacy.tokens import SEPARATOR, digest
from crm_pipeline.lib.settings import TOKEN_KEY_ID
from ml.identity.normalise import normalise_email, normalise_phone

UNUSABLE = "x"  # follows the key id in the token of a contact nothing can be sent to

_INVISIBLE = {"Cf", "Cc"}  # zero-width and direction marks, control characters
_CHINESE_CODE = "+86"
_CHINESE_MOBILE = re.compile(r"\+861[3-9][0-9]{9}")
# Ids that providers give out: of a contact in WeCom, of an app on a device. They mean nothing to
# people, so there is one spelling, and case counts.
_PROVIDER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.=+/-]{7,255}")
_PROVIDER_KINDS = ("wecom", "push")
# Numbers printed in manuals and typed by people who do not want to give theirs.
_TEST_NUMBERS = frozenset({"+8613800138000", "+8613888888888", "+8613000000000"})


@dataclass(frozen=True)
class Contact:
    """A contact point as the ledger knows it; the clear value goes to the vault only."""

    kind: str
    token: str
    mask: str
    clear_value: str | None = field(repr=False)  # None: nothing can be sent there
    reason: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a message can be sent to it."""
        return self.clear_value is not None


def tokenise_contact(kind: str, value: str, *, key: bytes, key_id: str = TOKEN_KEY_ID) -> Contact:
    """The token and mask of a contact, whichever way it was spelled.

    An address that is no address gets a token too, so that an opt-out is never lost; nothing can
    be sent to it.
    """
    clear, reason = normalise_contact(kind, value)
    if clear is None:
        token = f"{key_id}{UNUSABLE}_{digest(kind, _fold(value), key)}"
        return Contact(kind, token, "***", None, reason)
    return Contact(kind, f"{key_id}_{digest(kind, clear, key)}", mask_contact(kind, clear), clear)


def account_contact(
    kind: str, channel: str, source_customer_id: str, *, key: bytes, key_id: str = TOKEN_KEY_ID
) -> Contact:
    """Stands for all addresses of one kind an account has, when nobody knows them.

    Nothing can be sent to it, so it can carry a withdrawal and never a grant.
    """
    account = f"{channel}{SEPARATOR}{source_customer_id}"
    token = f"{key_id}{UNUSABLE}_{digest(f'account/{kind}', account, key)}"
    return Contact(kind, token, "***", None, "account")


def normalise_contact(kind: str, value: str | None) -> tuple[str | None, str | None]:
    """The one spelling of a contact, or None and the reason why it is none.

    Phones and addresses are spelled as identity resolution spells them.
    A grant for a contact that is none is booked too, and grants nothing: no address stands behind
    its token.
    """
    if value is None or not value.strip():
        return None, "empty"
    if kind == "email":
        return _reachable_email(value)
    if kind == "phone":
        return _reachable_phone(value)
    if kind in _PROVIDER_KINDS:
        text = _fold(value)
        return (text, None) if _PROVIDER_ID.fullmatch(text) else (None, kind)
    return None, "unknown_kind"


def mask_contact(kind: str, clear: str) -> str:
    """What people may see: ``a***@example.org``, ``+86***5678``, ``wm***Qz``."""
    if kind == "email":
        local, _, domain = clear.rpartition("@")
        return f"{local[:1]}***@{domain}"
    if kind in _PROVIDER_KINDS:
        return f"{clear[:2]}***{clear[-2:]}"
    return f"{clear[:3]}***{clear[-4:]}"


def _fold(value: str) -> str:
    """One form for full-width letters, without what cannot be seen."""
    if value.isascii() and value.isprintable():
        return value.strip()
    folded = unicodedata.normalize("NFKC", value)
    return "".join(sign for sign in folded if unicodedata.category(sign) not in _INVISIBLE).strip()


def _reachable_email(value: str) -> tuple[str | None, str | None]:
    found, _ = normalise_email(value)
    return (found, None) if found else (None, "email")


def _reachable_phone(value: str) -> tuple[str | None, str | None]:
    """A number a message can be sent to: identity also knows people by their landline."""
    found, _ = normalise_phone(value)
    if found is None:
        return None, "phone"
    if found.startswith(_CHINESE_CODE) and not _CHINESE_MOBILE.fullmatch(found):
        return None, "phone"
    if found in _TEST_NUMBERS:
        return None, "test_number"
    return found, None
