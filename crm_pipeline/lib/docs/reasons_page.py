"""The page that explains the reason codes of quarantine and refusals.

Add here: what an operator wants to know about a code.
Not here: the codes (``lib/ingestion/reasons.py``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.ingestion.reasons import FILE_REASONS, RECORD_REASONS

SOURCE = "crm_pipeline/lib/ingestion/reasons.py"


def render(root: Path) -> str:
    """The page ``docs/reasons.md``; ``root`` is not used, the codes are imported."""
    del root
    parts = [heading("Reason codes", SOURCE)]
    for title, reasons in (
        ("A record is quarantined because", RECORD_REASONS),
        ("A whole file is refused because", FILE_REASONS),
    ):
        rows = [[code(name), meaning] for name, meaning in reasons.items()]
        parts += [f"## {title}\n", table(["Code", "Meaning"], rows)]
    return "\n".join(parts)
