"""Secrets by name.

Add here: where a secret may come from, and how it is kept out of what people read.
Not here: what it opens.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from crm_pipeline.lib.errors import ConfigError

REFERENCE = r"env:[A-Za-z_][A-Za-z0-9_]*"
HIDDEN = "•••"
SHORTEST_TO_HIDE = 4  # shorter ones would blot out ordinary words


class Secrets:
    """Reads ``env:NAME`` and remembers each value it gave, so that it can be blotted out.

    ``NAME`` may hold the secret, or ``NAME_FILE`` the path of a file that holds it; a file is read
    again at every call, so a rotated secret is found without a restart.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ if env is None else env
        self._given: set[str] = set()

    def read(self, reference: str) -> str:
        """The value behind ``env:NAME``.

        Raises:
            ConfigError: the variable is not set, or its file cannot be read.
        """
        name = reference.removeprefix("env:")
        value = self._env.get(name)
        if not value and (path := self._env.get(f"{name}_FILE")):
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"the file of {name}_FILE cannot be read ({type(error).__name__})",
                    remedy="make it a UTF-8 file this user may read",
                ) from None
        if not value:
            raise ConfigError(
                f"the environment has no {name}",
                remedy=f"set {name}, or {name}_FILE to a file that holds it",
            )
        self.remember(value)
        return value

    def remember(self, value: str) -> None:
        """A secret that came another way (a fetched token)."""
        self._given.add(value)

    def hide(self, text: str) -> str:
        """``text`` without any secret that was read."""
        for value in sorted(self._given, key=len, reverse=True):
            if len(value) >= SHORTEST_TO_HIDE:
                text = text.replace(value, HIDDEN)
        return text
