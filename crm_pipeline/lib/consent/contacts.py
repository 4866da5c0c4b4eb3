"""Contact points: one spelling, one token, one mask.

Add here: kinds of contact and how they are written.
Not here: what a contact agreed to.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass, field

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from crm_pipeline.lib.settings import TOKEN_KEY_ID

TOKEN_HEX = 32
SEPARATOR = "\x1f"
UNUSABLE = "x"  # follows the key id in the token of a contact nothing can be sent to

# Addresses so plain that the library, forty times slower, has nothing to say about them.
_PLAIN_EMAIL = re.compile(
    r"(?!.{255})[a-z0-9]+([._+-][a-z0-9]+)*@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}"
)
_LONGEST_LOCAL = 64
_RESERVED = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)

_INVISIBLE = {"Cf", "Cc"}  # zero-width and direction marks, control characters
_CHINESE_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{7,14}")
_CHINESE_CODE = "+86"
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
        token = f"{key_id}{UNUSABLE}_{_digest(kind, _fold(value), key)}"
        return Contact(kind, token, "***", None, reason)
    return Contact(kind, f"{key_id}_{_digest(kind, clear, key)}", mask_contact(kind, clear), clear)


def account_contact(
    kind: str, channel: str, source_customer_id: str, *, key: bytes, key_id: str = TOKEN_KEY_ID
) -> Contact:
    """Stands for all addresses of one kind an account has, when nobody knows them.

    Nothing can be sent to it, so it can carry a withdrawal and never a grant.
    """
    account = f"{channel}{SEPARATOR}{source_customer_id}"
    token = f"{key_id}{UNUSABLE}_{_digest(f'account/{kind}', account, key)}"
    return Contact(kind, token, "***", None, "account")


def normalise_contact(kind: str, value: str | None) -> tuple[str | None, str | None]:
    """The one spelling of a contact, or None and the reason why it is none.

    A grant for a contact that is none is booked too, and grants nothing: no address stands behind
    its token.
    """
    if value is None or not value.strip():
        return None, "empty"
    if kind == "email":
        return _normalise_email(value)
    if kind == "phone":
        return _normalise_phone(value)
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


def _digest(kind: str, text: str, key: bytes) -> str:
    message = f"{kind}{SEPARATOR}{text}".encode()
    return hmac.digest(key, message, hashlib.sha256).hex()[:TOKEN_HEX]


def _fold(value: str) -> str:
    """One form for full-width letters, without what cannot be seen."""
    if value.isascii() and value.isprintable():
        return value.strip()
    folded = unicodedata.normalize("NFKC", value)
    return "".join(sign for sign in folded if unicodedata.category(sign) not in _INVISIBLE).strip()


def _normalise_email(value: str) -> tuple[str | None, str | None]:
    text = _fold(value)
    if _is_plain_email(text.lower()):
        return text.lower(), None
    try:
        found = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return None, "email"
    # Mailboxes that differ by case are one mailbox everywhere that matters.
    return found.normalized.casefold(), None


def _is_plain_email(text: str) -> bool:
    if not text.isascii() or not _PLAIN_EMAIL.fullmatch(text):
        return False
    local, _, domain = text.partition("@")
    # Two hyphens are punycode and its kin.
    special = "--" in domain or f".{domain}".endswith(_RESERVED)
    return len(local) <= _LONGEST_LOCAL and not special


def _normalise_phone(value: str) -> tuple[str | None, str | None]:
    text = re.sub(r"[\s().\-]", "", _fold(value).removeprefix("'"))
    if text.startswith("00"):
        text = f"+{text[2:]}"
    if not re.fullmatch(r"\+?[0-9]+", text):
        return None, "phone"
    if _CHINESE_MOBILE.fullmatch(text.removeprefix("86")) and not text.startswith("+"):
        text = _CHINESE_CODE + text.removeprefix("86")
    if not _INTERNATIONAL.fullmatch(text):
        return None, "phone"
    if text.startswith(_CHINESE_CODE) and not _CHINESE_MOBILE.fullmatch(text[3:]):
        return None, "phone"  # a landline takes no message
    if text in _TEST_NUMBERS:
        return None, "test_number"
    return text, None
