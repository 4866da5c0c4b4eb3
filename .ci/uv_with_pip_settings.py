"""Runs uv with the registry settings that pip has on this machine (mirror, certificates, proxy).

uv does not read pip's configuration. The values go from pip to uv inside this process: they may
hold passwords, so nothing is printed or stored. What the user has set for uv itself wins.
Add here: a setting both tools know. Not here: what is installed (``bootstrap``).
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

# Several values: pip separates them by white space, uv's variables as given here.
NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
}
# pip's own order of strength: the command's section over [global], the environment over both.
SECTIONS = ("global", "install", ":env:")


def read_pip_settings() -> dict[str, str]:
    """Effective pip settings, by option name."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    by_section: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        key, separator, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if separator and section in by_section:
            by_section[section][option] = str(ast.literal_eval(value))
    settings: dict[str, str] = {}
    for section in SECTIONS:
        settings |= by_section[section]
    return settings


def uv_environment(pip_settings: dict[str, str], environment: dict[str, str]) -> dict[str, str]:
    """``environment`` with pip's settings under uv's names."""
    result = dict(environment)
    for option, (variable, separator) in NAMES.items():
        if value := pip_settings.get(option, "").split():
            result.setdefault(variable, separator.join(value))
    if pip_settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        result.setdefault("UV_NO_INDEX", "1")
    # pip looks into all its indexes; safe here because every file is checked by its hash.
    result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    result.setdefault("UV_PYTHON_DOWNLOADS", "never")
    if "SSL_CERT_FILE" not in result:
        result.setdefault("UV_SYSTEM_CERTS", "1")
    return result


def main() -> None:
    """Replaces this process by uv."""
    folder = Path(sys.executable).parent
    environment = uv_environment(read_pip_settings(), dict(os.environ))
    environment.setdefault("VIRTUAL_ENV", str(folder.parent))
    os.execve(folder / "uv", ["uv", *sys.argv[1:]], environment)


if __name__ == "__main__":
    main()
