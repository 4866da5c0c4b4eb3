"""Writes the generated pages, or checks them: ``python -m crm_pipeline.lib.docs [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from crm_pipeline.lib.docs.pages import PAGES, Problems, find_problems, render_pages

ROOT = Path(__file__).resolve().parents[3]


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Write nothing; fail when a page is out of date.")
def main(check: bool) -> None:
    """Entry of the command line."""
    problems: Problems = find_problems(ROOT)
    for path, text in render_pages(ROOT).items():
        is_current = path.is_file() and path.read_text(encoding="utf-8") == text
        if is_current:
            continue
        if check:
            problems.append(f"{path.relative_to(ROOT)} is out of date: run make docs")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {path.relative_to(ROOT)}")
    for problem in problems:
        click.echo(f"docs: {problem}", err=True)
    if not problems:
        click.echo(f"docs: {len(PAGES)} generated pages are up to date")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
