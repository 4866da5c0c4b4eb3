"""The channel door: files to typed, balanced, append-only parts.

Add here: parsers, contracts, quarantine.
Not here: dedupe across files (staging).
"""

from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.feeds import load_feed, load_feeds
from crm_pipeline.lib.ingestion.ingest import FeedReport, FileReport, ingest_feed, replay

__all__ = [
    "FeedReport",
    "FeedSpec",
    "FileReport",
    "ingest_feed",
    "load_feed",
    "load_feeds",
    "replay",
]
