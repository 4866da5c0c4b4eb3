"""The project's exceptions.

Add here: a kind of failure a caller tells apart.
Not here: messages (they belong to the raiser).
"""

from __future__ import annotations


class CrmError(Exception):
    """Base of every error a user is meant to read: what is wrong, where, and what to do."""

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(what, where, remedy)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.remedy:
            lines.append(f"  do: {self.remedy}")
        return "\n".join(lines)


class ConfigError(CrmError):
    """A YAML file, a setting or an environment variable says something that cannot be."""


class RuleError(CrmError):
    """A rule table (seed) is refused."""


class LandingError(CrmError):
    """A landed file is refused as a whole."""

    def __init__(
        self, what: str, *, reason_code: str, where: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.reason_code = reason_code


class LedgerError(CrmError):
    """The ledger or the vault is missing, damaged or unreachable."""


class WarehouseError(CrmError):
    """The warehouse file is held by somebody else or cannot be read."""


class PublishError(CrmError):
    """A build may not be published, or the published folder is not as it should be."""


class OutreachError(CrmError):
    """A batch may not be written or released."""


class PullError(CrmError):
    """A source could not be asked, or what it answered cannot be all of it; nothing was landed."""
