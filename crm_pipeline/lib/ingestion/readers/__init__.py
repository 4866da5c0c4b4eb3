"""Readers: bytes of one format to batches of text cells.

Add here: a format.
Not here: what the cells mean.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import raw_store
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.landing import Sighting
from crm_pipeline.lib.ingestion.readers.batch import Reader
from crm_pipeline.lib.ingestion.readers.csv_reader import CsvReader
from crm_pipeline.lib.ingestion.readers.jsonl import JsonlReader
from crm_pipeline.lib.ingestion.readers.parquet import ParquetReader
from crm_pipeline.lib.ingestion.readers.xlsx import FILE_LIMIT, XlsxReader

Opener = Callable[[], AbstractContextManager[Reader]]


def opener(
    home: CrmHome,
    spec: FeedSpec,
    file_sha256: str,
    *,
    is_proven_whole: bool = False,
    landed: Sighting | None = None,
) -> Opener:
    """How to open the raw file ``file_sha256`` with the reader its feed declares.

    Args:
        home: holds the raw store.
        spec: the feed.
        file_sha256: the raw file.
        landed: the same bytes in the landing folder, if they may be read there.
        is_proven_whole: a manifest has confirmed size or hash; a missing last line end is no cut.
    """

    @contextmanager
    def opened() -> Iterator[Reader]:
        kind = spec.format.kind
        if kind == "xlsx":
            yield XlsxReader(spec, raw_store.read_all(home, file_sha256, limit=FILE_LIMIT))
        elif kind == "parquet":
            with _unpacked(home, file_sha256) as path:
                yield ParquetReader(spec, path)
        else:
            reader = JsonlReader if kind == "jsonl" else CsvReader
            with _text(home, file_sha256, landed) as source:
                yield reader(spec, source, is_proven_whole=is_proven_whole)

    return opened


def _text(
    home: CrmHome, file_sha256: str, landed: Sighting | None
) -> AbstractContextManager[IO[bytes]]:
    if landed is not None:
        return raw_store.open_landed(landed, file_sha256)
    return raw_store.open_raw(home, file_sha256)


@contextmanager
def _unpacked(home: CrmHome, file_sha256: str) -> Iterator[Path]:
    """The raw bytes as a plain private file, for formats that are read from their end."""
    path = home.raw / f".tmp-{os.getpid()}-{os.urandom(6).hex()}"
    try:
        with raw_store.open_raw(home, file_sha256) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 4 * 1024 * 1024)
        yield path
    finally:
        path.unlink(missing_ok=True)
