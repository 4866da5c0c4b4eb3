"""The page that shows every text a customer may read, and where texts are missing.

Add here: what a marketer wants to see of the content library.
Not here: the texts (seed ``content_library``), what is asked of them (``lib/rules``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.outreach.content import (
    Cell,
    ContentLibrary,
    coverage,
    load_content,
    render_message,
)
from crm_pipeline.lib.outreach.journey import JourneySpec, load_journeys
from crm_pipeline.lib.rules.content_library import ALL_TIERS, Content, specificity
from crm_pipeline.lib.rules.content_policies import LANGUAGES
from crm_pipeline.lib.rules.content_variables import variables_of

SOURCE = "dbt_project/seeds/content_*.csv and the journeys' YAML"
JOURNEYS = "crm_pipeline/defs/outreach"
SEEDS = "dbt_project/seeds"
BRAND = "BRAND"
INTRO = """\
A customer gets the text of the own tier before that of all tiers, and of those whose variables are
all known the one that shows most; without any value that may be missing there is still a text for
everybody. Signature and the way to say no are put around each text by `content_policies.csv`; here
they are shown with example values and the brand `BRAND` (setting `CRM_BRAND`).
"""


def render(root: Path) -> str:
    """The page ``docs/content.md``: the coverage matrix, then the texts by scene."""
    library = load_content(root / SEEDS)
    journeys = load_journeys(root / JOURNEYS)
    scenes = sorted({content.scene for content in library.contents.values()})
    return "\n".join(
        [
            heading("Texts of messages", SOURCE),
            INTRO,
            _matrix(library, journeys),
            *(_scene(library, scene) for scene in scenes),
        ]
    )


def _matrix(library: ContentLibrary, journeys: Sequence[JourneySpec]) -> str:
    """One line per journey, step and channel: the tiers with words of their own."""
    rows: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in coverage(library, journeys):
        rows.setdefault((cell.journey, cell.step, cell.consent_channel), []).append(cell)
    lines = [[code(journey), code(step), channel, *_cells(rows[journey, step, channel])]
             for journey, step, channel in rows]  # fmt: skip
    columns = ["Journey", "Step", "Channel", *LANGUAGES, "Tiers with words of their own"]
    return "## Coverage\n\n" + table(columns, lines)


def _cells(cells: Iterable[Cell]) -> list[str]:
    """Per language whether every tier has a text, then the tiers that have their own."""
    known = list(cells)
    said = []
    for language in LANGUAGES:
        mine = [cell for cell in known if cell.language == language]
        missing = [cell.rfm_tier for cell in mine if cell.poorest is None]
        said.append(f"missing: {', '.join(missing)}" if missing else "all")
    own = sorted(
        {cell.rfm_tier for cell in known
         if cell.richest is not None and cell.richest.rfm_tier == cell.rfm_tier != ALL_TIERS}
    )  # fmt: skip
    return [*said, ", ".join(own)]


def _scene(library: ContentLibrary, scene: str) -> str:
    contents = [content for content in library.contents.values() if content.scene == scene]
    contents.sort(key=lambda content: (content.consent_channel, content.language != "zh-CN",
                                       specificity(content)))  # fmt: skip
    rows = [_text(library, content) for content in contents]
    return f"## {scene}\n\n" + table(["Channel", "Tier", "Needs", "Text", "Note"], rows)


def _text(library: ContentLibrary, content: Content) -> list[str]:
    known = variables_of(content.scene, library.variables)
    values = {name: known[name].example(content.language) for name in content.variables}
    subject, body = render_message(library, content, values, BRAND)
    reader = "" if content.reader == "customer" else f" (for the {content.reader})"
    shown = " ".join(filter(None, (f"**{subject}**" if subject else "", body)))
    needs = ", ".join(code(name) for name in sorted(content.variables))
    return [f"{content.consent_channel} {content.language}{reader}", content.rfm_tier, needs,
            shown, content.note]  # fmt: skip
