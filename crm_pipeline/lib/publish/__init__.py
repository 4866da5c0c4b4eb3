"""What BI reads.

Add here: the gate, the atomic swap, the manifest, the result hash.
Not here: what the marts mean (``dbt_project``).
"""

from crm_pipeline.lib.publish.gate import Finding, check_build, require_clean
from crm_pipeline.lib.publish.manifest import Manifest, current_manifest
from crm_pipeline.lib.publish.publish import keep_past_build, publish_build
from crm_pipeline.lib.publish.result_hash import ResultHash, hash_published, hash_results

__all__ = [
    "Finding",
    "Manifest",
    "ResultHash",
    "check_build",
    "current_manifest",
    "hash_published",
    "hash_results",
    "keep_past_build",
    "publish_build",
    "require_clean",
]
