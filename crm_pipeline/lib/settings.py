"""What a home remembers about itself.

Add here: settings every later command must agree on.
Not here: rules, journeys or feeds.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.examples import EXAMPLES
from crm_pipeline.lib.files import atomic_path, fsync_dir
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.contracts.columns import EARLIEST_EVENT
from crm_pipeline.lib.progress import say

DEFAULT_TIMEZONE = "Asia/Shanghai"
SETTING_NAMES = ("CRM_TIMEZONE", "CRM_CURRENCY", "CRM_AS_OF", "CRM_LANDING", "CRM_EXAMPLE")
KEY_NAMES = ("CRM_TOKEN_KEY", "CRM_ID_KEY", "CRM_HOLDOUT_SALT")
BRAND = "CRM_BRAND"  # not remembered: a shop may change its name
KEY_CHECK = "CRM_KEY_CHECK"  # a fingerprint, so that a changed key is noticed; it reveals no key
TOKEN_KEY_ID = "k1"
SHORTEST_KEY = 16
FIRST_DAY = dt.datetime.fromisoformat(f"{EARLIEST_EVENT}T00:00:00+00:00")
WEEKS_LOOKED_AT = 105 * 53  # to the end of the century; a change of clocks lasts for weeks
MAKE_A_KEY = 'python -c "import secrets; print(secrets.token_hex(32))"'


@dataclass(frozen=True)
class Keys:
    """The secrets of a deployment; never printed, never written beside the settings."""

    token_key: bytes = field(repr=False)
    id_key: bytes = field(repr=False)
    holdout_salt: str = field(repr=False)
    token_key_id: str = TOKEN_KEY_ID

    @property
    def check(self) -> str:
        """A fingerprint of the three secrets."""
        message = b"\x1f".join((self.id_key, self.holdout_salt.encode()))
        return hmac.new(self.token_key, message, hashlib.sha256).hexdigest()[:12]


@dataclass(frozen=True)
class HomeSettings:
    """The settings of one home."""

    timezone: str
    currency: str
    as_of_rule: str
    landing: Path | None
    example: str | None
    keys: Keys = field(repr=False)
    brand: str | None = None  # who signs messages; without one none is written

    @property
    def zone(self) -> ZoneInfo:
        """The business time zone."""
        return ZoneInfo(self.timezone)

    @property
    def utc_offset_minutes(self) -> int | None:
        """The zone's distance from UTC where it is the same whenever a record may be of."""
        return _constant_offset(self.timezone)


def resolve(
    home: CrmHome,
    *,
    env: Mapping[str, str],
    feeds_with_files: Iterable[tuple[str | None, str | None]] = (),
    arguments: Mapping[str, str | None] | None = None,
    examples: Path = EXAMPLES,
) -> HomeSettings:
    """Settles what this home is: what it remembers, the environment, arguments, its feeds.

    Args:
        home: the home whose ``settings.env`` is read.
        env: the environment; ``CRM_TIMEZONE`` and its siblings, and the keys.
        feeds_with_files: zone and currency of every feed with files (None where it has none).
        arguments: the same names as in the environment, given on the command line.
        examples: folder of the shipped examples, whose ``settings.env`` may hold example-only keys.

    Raises:
        ConfigError: two sources contradict each other, a value is invalid, or the currency is
            not known.
    """
    remembered = read_settings(home.settings, allowed=(*SETTING_NAMES, KEY_CHECK))
    chosen = _merge(home, remembered, env, arguments or {})
    zone, currency = _shared_by_feeds(feeds_with_files)
    example = chosen.get("CRM_EXAMPLE")
    shipped = _read_example(example, examples)
    chosen = {**shipped, **chosen}
    landing = chosen.get("CRM_LANDING")
    as_of_default = "latest" if example or landing else "yesterday"
    keys = _find_keys(home, env, example, shipped)
    _refuse_changed_keys(home, remembered.get(KEY_CHECK), keys)
    return HomeSettings(
        timezone=_check_zone(chosen.get("CRM_TIMEZONE") or zone or DEFAULT_TIMEZONE),
        currency=_check_currency(chosen.get("CRM_CURRENCY") or currency, home),
        as_of_rule=_check_as_of(chosen.get("CRM_AS_OF") or as_of_default),
        landing=_check_landing(landing),
        example=example,
        keys=keys,
        brand=(env.get(BRAND) or shipped.get(BRAND) or "").strip() or None,
    )


def remember(home: CrmHome, settings: HomeSettings) -> None:
    """Writes ``settings.env`` atomically; keys are never among the lines."""
    values = {
        "CRM_TIMEZONE": settings.timezone,
        "CRM_CURRENCY": settings.currency,
        "CRM_AS_OF": settings.as_of_rule,
        "CRM_LANDING": str(settings.landing) if settings.landing else None,
        "CRM_EXAMPLE": settings.example,
        KEY_CHECK: settings.keys.check,
    }
    lines = ["# What this home is. Written by crm_pipeline; contradicting commands are refused."]
    lines += [f"{name}={value}" for name, value in values.items() if value]
    text = "\n".join(lines) + "\n"
    if home.settings.exists() and home.settings.read_text(encoding="utf-8") == text:
        return
    with atomic_path(home.settings) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_settings(path: Path, *, allowed: Iterable[str]) -> dict[str, str]:
    """Reads ``KEY=value`` lines strictly; an absent file is an empty one.

    Raises:
        ConfigError: a line is no ``KEY=value``, a key is unknown or repeated, a value is empty.
    """
    if not path.exists():
        return {}
    known = tuple(allowed)
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = (piece.strip() for piece in line.partition("="))
        where = f"{path}, line {number}"
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            _refuse("this line is no KEY=value", where, "write one KEY=value per line, no quotes")
        if key not in known:
            _refuse(f"unknown setting {key}", where, f"use one of {', '.join(known)}")
        if key in found:
            _refuse(f"{key} is set twice", where, "keep one of the two lines")
        if not value or value[0] in "\"'":
            _refuse(f"{key} needs a bare value", where, f"write {key}=value without quotes")
        found[key] = value
    return found


def _refuse(what: str, where: str, remedy: str) -> NoReturn:
    raise ConfigError(what, where=where, remedy=remedy)


def _merge(
    home: CrmHome,
    remembered: Mapping[str, str],
    env: Mapping[str, str],
    arguments: Mapping[str, str | None],
) -> dict[str, str]:
    unknown = sorted(set(arguments) - set(SETTING_NAMES))
    if unknown:
        raise ConfigError(
            f"unknown settings {', '.join(unknown)}", remedy=f"use {', '.join(SETTING_NAMES)}"
        )
    chosen: dict[str, str] = {}
    for name in SETTING_NAMES:
        sources = (
            (f"remembered in {home.settings}", remembered.get(name)),
            ("the environment", env.get(name) or None),
            ("the command line", arguments.get(name) or None),
        )
        said = [(source, _canonical(name, value)) for source, value in sources if value]
        if not said:
            continue
        first_source, first = said[0]
        for source, value in said[1:]:
            if value != first:
                raise ConfigError(
                    f"{name} is {first!r} ({first_source}) but {source} says {value!r}",
                    where=str(home.root),
                    remedy=_how_to_agree(name, first, first_source),
                )
        chosen[name] = first
    return chosen


def _how_to_agree(name: str, first: str, first_source: str) -> str:
    if not first_source.startswith("remembered"):
        return f"give {name} once, or the same value in both places"
    return (
        f"leave {name} out (or set it to {first}) to go on with this home; "
        "for other data or other settings use another home: CRM_HOME=/full/path/to/a/new/folder"
    )


def _canonical(name: str, value: str) -> str:
    if name == "CRM_LANDING":
        return str(Path(value).expanduser().resolve())
    if name == "CRM_CURRENCY":
        return value.strip().upper()
    return value.strip()


def _shared_by_feeds(
    feeds: Iterable[tuple[str | None, str | None]],
) -> tuple[str | None, str | None]:
    """Zone and currency when all feeds with files share one of each, else nothing at all."""
    pairs = list(feeds)
    zones = {zone for zone, _ in pairs if zone}
    currencies = {currency for _, currency in pairs if currency}
    if len(zones) == 1 and len(currencies) == 1:
        return zones.pop(), currencies.pop()
    return None, None


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(
            f"CRM_TIMEZONE={name} is no time zone", remedy="use an IANA name such as Europe/London"
        ) from error
    return name


def _check_currency(code: str | None, home: CrmHome) -> str:
    if not code:
        raise ConfigError(
            "the reporting currency is not known: the feeds with files do not share one zone "
            "and currency",
            where=str(home.root),
            remedy="give CRM_CURRENCY, for example CRM_CURRENCY=CNY (and CRM_TIMEZONE if it is not "
            f"{DEFAULT_TIMEZONE})",
        )
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise ConfigError(
            f"CRM_CURRENCY={code} is no currency code", remedy="use three letters such as CNY"
        )
    return code


def _check_as_of(rule: str) -> str:
    if rule in ("latest", "yesterday"):
        return rule
    try:
        return dt.date.fromisoformat(rule).isoformat()
    except ValueError as error:
        raise ConfigError(
            f"CRM_AS_OF={rule} is no rule", remedy="use latest, yesterday or a date YYYY-MM-DD"
        ) from error


def _check_landing(landing: str | None) -> Path | None:
    if landing is None:
        return None
    path = Path(landing)
    if not path.is_dir():
        raise ConfigError(
            "the landing folder does not exist",
            where=str(path),
            remedy="give a folder with one subfolder per channel",
        )
    return path


def _read_example(example: str | None, examples: Path) -> dict[str, str]:
    """Settings and example-only keys an example ships; what the user says comes first."""
    if example is None:
        return {}
    path = examples / example / "settings.env"
    if not path.is_file():
        raise ConfigError(
            f"there is no example {example!r}", where=str(path), remedy="see the examples folder"
        )
    return read_settings(path, allowed=(*SETTING_NAMES, *KEY_NAMES, BRAND))


def _find_keys(
    home: CrmHome, env: Mapping[str, str], example: str | None, shipped: Mapping[str, str]
) -> Keys:
    given = {name: env[name] for name in KEY_NAMES if env.get(name)}
    if given:
        return _build_keys(given, "the environment")
    fixed = {name: value for name, value in shipped.items() if name in KEY_NAMES}
    if fixed:
        return _build_keys(fixed, f"settings.env of the example {example}")
    path = home.ledger_dir / "keys.env"
    if not path.exists():
        _make_keys(home, path)
    return _build_keys(read_settings(path, allowed=KEY_NAMES), str(path))


def _build_keys(values: Mapping[str, str], where: str) -> Keys:
    weak = [name for name in KEY_NAMES if len(values.get(name, "")) < SHORTEST_KEY]
    if weak:
        raise ConfigError(
            f"{', '.join(weak)}: absent or shorter than {SHORTEST_KEY} characters",
            where=where,
            remedy=f"set all of {', '.join(KEY_NAMES)}; make each one with {MAKE_A_KEY}",
        )
    token, identity, salt = (values[name] for name in KEY_NAMES)
    return Keys(token_key=token.encode(), id_key=identity.encode(), holdout_salt=salt)


def _make_keys(home: CrmHome, path: Path) -> None:
    """Gives a newcomer's home random keys, once, readable by the owner alone, and says so."""
    identity = home.ledger_dir / "identity"
    was_used = home.settings.exists() or (identity.is_dir() and any(identity.iterdir()))
    if (home.ledger_dir / "ledger.sqlite").exists() and was_used:
        raise ConfigError(
            "this home was made with keys that are no longer given",
            where=str(path),
            remedy=f"set {', '.join(KEY_NAMES)} in the environment as before, or restore keys.env "
            "from its backup; new keys would give every customer a new id and forget every opt-out",
        )
    home.ensure()
    lines = ["# Random keys of this home, made once. Back this file up apart from the data."]
    lines += [f"{name}={secrets.token_hex(32)}" for name in KEY_NAMES]
    unnamed = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    handle = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as target:
        target.write("\n".join(lines) + "\n")
        target.flush()
        os.fsync(target.fileno())
    try:
        # A link never replaces: of two first runs at once one makes the keys, both use them.
        os.link(unnamed, path)
    except FileExistsError:
        return
    finally:
        unnamed.unlink()
    fsync_dir(path.parent)
    say(f"made random keys for this home (no {KEY_NAMES[0]} in the environment): {path}")


def _refuse_changed_keys(home: CrmHome, remembered: str | None, keys: Keys) -> None:
    if remembered and remembered != keys.check:
        raise ConfigError(
            "the keys are not those this home was made with",
            where=str(home.settings),
            remedy=f"set {', '.join(KEY_NAMES)} as before; changed keys would give every customer "
            "a new id and forget every opt-out",
        )


@cache
def _constant_offset(timezone: str) -> int | None:
    zone = ZoneInfo(timezone)
    offsets = {
        (FIRST_DAY + dt.timedelta(weeks=week)).astimezone(zone).utcoffset()
        for week in range(WEEKS_LOOKED_AT)
    }
    minutes, rest = divmod(offsets.pop() or dt.timedelta(), dt.timedelta(minutes=1))
    return None if offsets or rest else minutes
