"""Views of Data Docs that compile each template once.

Add here: how pages are made faster.
Not here: what stands on them (Great Expectations' own templates).

Great Expectations makes a view per page and compiles all its templates for each: nine tenths of
the time of a site. A view is named in the site's settings, so these two take their place.
"""

from __future__ import annotations

from typing import Any

from great_expectations.render.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket


class _Compiled(BytecodeCache):
    """Compiled templates of this process."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


class PageView(DefaultJinjaPageView):
    """A page of one suite or one validation."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.env.bytecode_cache = _COMPILED


class IndexView(DefaultJinjaIndexPageView):
    """The first page of a site."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.env.bytecode_cache = _COMPILED
