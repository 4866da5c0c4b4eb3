"""Worked examples shipped with the project.

Add here: how an example's files become a landing folder.
Not here: what stands in them (``examples/``), how they are read (``lib/ingestion``).
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.files import atomic_path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# An example that is made, not shipped: its parameters stand in this file of its folder.
PARAMETERS = "world.yaml"
MAKER = "simulation"  # a program beside this package: started, never imported


def list_examples(root: Path = EXAMPLES) -> list[str]:
    """Names of the examples that can be run."""
    return sorted(path.parent.name for path in root.glob("*/settings.env"))


def is_made(name: str, root: Path = EXAMPLES) -> bool:
    """Whether an example's files are made into the home's own landing folder."""
    return (_find(name, root) / PARAMETERS).is_file()


def make_example(name: str, home: Path, root: Path = EXAMPLES) -> None:
    """Lets the simulator write an example's files and truth below ``home``, once."""
    parameters = _find(name, root) / PARAMETERS
    command = [sys.executable, "-m", MAKER, "--home", str(home), "--config", str(parameters)]
    try:
        subprocess.run(command, cwd=root.parent, check=True)
    except subprocess.CalledProcessError as failure:
        raise ConfigError(
            f"the files of example {name!r} could not be made (exit {failure.returncode})",
            where=str(parameters),
            remedy="see the lines above; an empty home and enough disk are needed",
        ) from failure


def prepare_example(name: str, root: Path = EXAMPLES) -> Path:
    """Returns the landing folder of an example, unpacked from its ``packed`` folder if it has one.

    The public data is kept packed because a tenth of it is 7 MB as text. A file that is already
    unpacked is left alone, so that a second run sees nothing new.
    """
    folder = _find(name, root)
    packed = folder / "packed"
    landing = folder / "landing"
    for source in sorted(packed.rglob("*.gz")):
        _unpack(source, landing / source.relative_to(packed).with_suffix(""))
    return landing


def _find(name: str, root: Path) -> Path:
    if name not in list_examples(root):
        known = ", ".join(list_examples(root)) or "none"
        raise ConfigError(
            f"there is no example {name!r}", where=str(root), remedy=f"choose one of: {known}"
        )
    return root / name


def _unpack(source: Path, target: Path) -> None:
    data = gzip.decompress(source.read_bytes())
    if target.is_file() and target.read_bytes() == data:
        return
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


if __name__ == "__main__":
    for example in sys.argv[1:] or [name for name in list_examples() if not is_made(name)]:
        print(prepare_example(example))
