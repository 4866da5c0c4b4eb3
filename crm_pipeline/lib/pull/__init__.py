"""Pulling from web interfaces and databases into files that pass the same door as all others.

Add here: what asks, pages, retries and lands.
Not here: what the records mean (their feed says so), anything that writes the warehouse.
"""

from crm_pipeline.lib.pull.pull import PullReport, pull_source
from crm_pipeline.lib.pull.sources import load_pull, load_pulls, pulls_feeding
from crm_pipeline.lib.pull.spec import PullSpec

__all__ = ["PullReport", "PullSpec", "load_pull", "load_pulls", "pull_source", "pulls_feeding"]
