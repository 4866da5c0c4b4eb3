"""How every channel writes its files.

Add here: a module per family of channels, with ``FEEDS``.
Not here: what happens in the world.
"""

from __future__ import annotations

import importlib
import pkgutil

from simulation.delivery.feed_writer import FeedWriter


def all_feeds() -> tuple[FeedWriter, ...]:
    """The writers of every module here, by the name of their feed."""
    found: dict[str, FeedWriter] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for writer in importlib.import_module(module.name).FEEDS:
            if writer.feed in found:
                raise ValueError(f"two writers are called {writer.feed}")
            found[writer.feed] = writer
    return tuple(found[name] for name in sorted(found))
