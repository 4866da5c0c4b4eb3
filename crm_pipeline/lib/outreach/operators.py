"""Who works with batches.

Add here: how an operator is named.
Not here: what they may do with a batch (``life``).

A name is said by whoever runs the command. It makes a record of two people, not a proof of who
they are: keep the machine's accounts apart for that.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass

from crm_pipeline.lib.errors import ConfigError

SCHEDULE = "schedule"  # who plans when nobody does
NAME = re.compile(r"[\w.@-]{1,64}")


@dataclass(frozen=True)
class Operators:
    """Who runs this command, and who may approve and release."""

    me: str | None
    listed: tuple[str, ...]

    @property
    def planner(self) -> str:
        """Who a plan made now is by."""
        return self.me or SCHEDULE

    @property
    def stopper(self) -> str:
        """Anybody may stop; without a name it is the account of this machine."""
        return self.me or getpass.getuser()

    @property
    def reader(self) -> str:
        """Who reads a preview; without a name the machine's account, which is no operator."""
        return self.me or f"account {getpass.getuser()}"

    def require(self) -> str:
        """The operator of this command.

        Raises:
            ConfigError: nobody is named, or somebody who is not listed.
        """
        if self.me is None:
            raise ConfigError(
                "no operator is named",
                where="CRM_OPERATOR",
                remedy="set CRM_OPERATOR to your name as it stands in CRM_OPERATORS",
            )
        if self.me not in self.listed:
            raise ConfigError(
                f"{self.me} is not among the operators",
                where="CRM_OPERATORS",
                remedy="list everybody who may approve and release: CRM_OPERATORS=li,wang",
            )
        return self.me


def read_operators(environment: Mapping[str, str]) -> Operators:
    """The operators of the environment.

    Raises:
        ConfigError: a name is none, or is one that jobs use.
    """
    listed = [name.strip() for name in environment.get("CRM_OPERATORS", "").split(",")]
    me = environment.get("CRM_OPERATOR", "").strip() or None
    found = tuple(dict.fromkeys(name for name in listed if name))
    for variable, names in (("CRM_OPERATORS", found), ("CRM_OPERATOR", (me,) if me else ())):
        for name in names:
            if not NAME.fullmatch(name) or name == SCHEDULE:
                raise ConfigError(
                    f"{name!r} is no operator's name",
                    where=variable,
                    remedy="use letters, digits and . _ - @, at most 64, and not schedule",
                )
    return Operators(me, found)
