"""Named places where a test may break the process.

Add here: kinds of breakage.
Not here: the places (they call ``failpoint``).
"""

from __future__ import annotations

import errno
import os
import signal
import time

_passes: dict[str, int] = {}


class InjectedFailureError(RuntimeError):
    """Raised on purpose by ``CRM_FAIL=<name>:raise``."""


def failpoint(name: str) -> None:
    """Breaks here when ``CRM_FAIL`` names this point.

    ``CRM_FAIL=name:kill|raise|enospc|sleep@n``: kill -9 this process, raise
    :class:`InjectedFailureError`, raise ENOSPC, or sleep, the ``n``-th time (default
    first) the point is passed; ``sleep`` waits ``CRM_FAIL_SECONDS`` (default 1).
    """
    setting = os.environ.get("CRM_FAIL")
    if not setting:
        return
    point, _, action = setting.partition(":")
    if point != name:
        return
    kind, _, nth = action.partition("@")
    _passes[name] = _passes.get(name, 0) + 1
    if _passes[name] != int(nth or 1):
        return
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "raise":
        raise InjectedFailureError(name)
    elif kind == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    elif kind == "sleep":
        time.sleep(float(os.environ.get("CRM_FAIL_SECONDS", "1")))
    else:
        raise ValueError(
            f"CRM_FAIL={setting}: unknown action {kind!r}; use kill, raise, enospc or sleep"
        )
