"""How every command finds its home.

Add here: what all commands share.
Not here: a command (``cli.py``, ``identity_command.py``).
"""

from __future__ import annotations

from pathlib import Path

import click

from crm_pipeline.lib.home import CrmHome

PROJECT = Path(__file__).parent.parent

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    envvar="CRM_HOME",
    default=PROJECT / "data",
    show_default="CRM_HOME, or data/ in the checkout",
    help="Root folder of all data of this deployment.",
)


def open_home(home: Path) -> CrmHome:
    """The home, with the environment its libraries need."""
    from crm_pipeline.lib.dagster_home import prepare_environment

    opened = CrmHome(home.absolute())
    prepare_environment(opened)
    return opened
