"""What a person at the terminal sees while a long step runs.

Add here: ways to say it.
Not here: log records for machines.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """Prints one line to standard error unless ``CRM_QUIET`` is set. Never pass personal data."""
    if not os.environ.get("CRM_QUIET"):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Says that a step began, and how many seconds it took when it ends well."""
    say(f"  · {text} …")
    began = time.perf_counter()
    yield
    say(f"    {text}: {time.perf_counter() - began:.1f} s")
