"""Reusable kinds of definitions, one per file; YAML names them by this module."""

from crm_pipeline.components.channel_feed import ChannelFeed
from crm_pipeline.components.outreach_journey import OutreachJourney
from crm_pipeline.components.pull_source import PullSource
from crm_pipeline.components.warehouse_models import WarehouseModels

__all__ = ["ChannelFeed", "OutreachJourney", "PullSource", "WarehouseModels"]
