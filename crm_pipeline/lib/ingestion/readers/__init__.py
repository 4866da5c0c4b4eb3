"""Readers: bytes of one format to batches of text cells. Add here: a format. Not here: what the cells mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import raw_store
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.readers.batch import Reader
from crm_pipeline.lib.ingestion.readers.csv_reader import CsvReader

Opener = Callable[[], AbstractContextManager[Reader]]


def opener(
    home: CrmHome, spec: FeedSpec, file_sha256: str, *, is_proven_whole: bool = False
) -> Opener:
    """How to open the raw file ``file_sha256`` with the reader its feed declares."""

    @contextmanager
    def opened() -> Iterator[Reader]:
        with raw_store.open_raw(home, file_sha256) as source:
            yield CsvReader(spec, source, is_proven_whole=is_proven_whole)

    return opened
