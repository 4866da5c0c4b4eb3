"""What a home remembers, and what it refuses."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.settings import KEY_NAMES, read_settings, remember, resolve

KEYS = {name: f"a-key-for-tests-only-{name}" for name in KEY_NAMES}
LONDON = [("Europe/London", "GBP"), ("Europe/London", "GBP"), ("Europe/London", None)]


@pytest.fixture
def home(tmp_path: Path) -> CrmHome:
    return CrmHome(tmp_path / "home").ensure()


def test_feeds_that_share_zone_and_currency_set_the_default(home: CrmHome) -> None:
    settings = resolve(home, env=KEYS, feeds_with_files=LONDON)
    assert (settings.timezone, settings.currency) == ("Europe/London", "GBP")
    assert settings.as_of_rule == "yesterday"


def test_feeds_that_differ_need_a_currency_and_get_the_default_zone(home: CrmHome) -> None:
    feeds = [*LONDON, ("Asia/Shanghai", "CNY")]
    with pytest.raises(ConfigError, match="give CRM_CURRENCY"):
        resolve(home, env=KEYS, feeds_with_files=feeds)
    settings = resolve(home, env={**KEYS, "CRM_CURRENCY": "cny"}, feeds_with_files=feeds)
    assert (settings.timezone, settings.currency) == ("Asia/Shanghai", "CNY")


def test_a_later_command_reads_what_the_first_one_settled(home: CrmHome, tmp_path: Path) -> None:
    landing = tmp_path / "files"
    landing.mkdir()
    arguments = {"CRM_LANDING": str(landing)}
    first = resolve(home, env=KEYS, feeds_with_files=LONDON, arguments=arguments)
    remember(home, first)
    assert resolve(home, env=KEYS) == first
    assert first.as_of_rule == "latest"
    assert first.landing == landing


def test_remembering_the_same_settings_leaves_the_file_alone(home: CrmHome) -> None:
    settings = resolve(home, env=KEYS, feeds_with_files=LONDON)
    remember(home, settings)
    before = home.settings.stat().st_mtime_ns
    remember(home, settings)
    assert home.settings.stat().st_mtime_ns == before


@pytest.mark.requirement("PRV-7")
def test_keys_are_never_written_beside_the_settings(home: CrmHome) -> None:
    settings = resolve(home, env=KEYS, feeds_with_files=LONDON)
    remember(home, settings)
    for text in (home.settings.read_text(), repr(settings), str(settings)):
        assert not any(key in text for key in KEYS.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [("CRM_TIMEZONE", "Asia/Shanghai"), ("CRM_CURRENCY", "EUR"), ("CRM_AS_OF", "2011-12-09")],
)
def test_a_setting_that_contradicts_the_home_is_refused_with_the_remedy(
    home: CrmHome, name: str, value: str
) -> None:
    remember(home, resolve(home, env=KEYS, feeds_with_files=LONDON))
    with pytest.raises(ConfigError, match=f"(?s){name} is .*remembered.*another home"):
        resolve(home, env={**KEYS, name: value})


def test_an_argument_that_contradicts_the_environment_is_refused(home: CrmHome) -> None:
    with pytest.raises(
        ConfigError, match=r"(?s)the command line says 'USD'.*give CRM_CURRENCY once"
    ):
        resolve(home, env={**KEYS, "CRM_CURRENCY": "GBP"}, arguments={"CRM_CURRENCY": "USD"})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CRM_TIMEZONE", "Europe/Atlantis", "no time zone"),
        ("CRM_TIMEZONE", "../../etc/passwd", "no time zone"),
        ("CRM_CURRENCY", "POUND", "no currency code"),
        ("CRM_AS_OF", "tomorrow", "no rule"),
        ("CRM_LANDING", "/nowhere/at/all", "does not exist"),
    ],
)
def test_an_invalid_setting_is_refused(home: CrmHome, name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(home, env={**KEYS, "CRM_CURRENCY": "GBP", name: value})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("CRM_TIMEZONE", "no KEY=value"),
        ("CRM_TIMEZONE=", "needs a bare value"),
        ('CRM_TIMEZONE="Europe/London"', "without quotes"),
        ("CRM_COLOUR=red", "unknown setting CRM_COLOUR"),
        ("CRM_CURRENCY=GBP", "set twice"),
        ("crm_currency=GBP", "no KEY=value"),
    ],
)
@pytest.mark.bad_input("B79")
def test_a_broken_settings_file_is_refused_with_its_line(
    home: CrmHome, line: str, message: str
) -> None:
    home.settings.write_text(f"# a comment\n\nCRM_CURRENCY=GBP\n{line}\n")
    with pytest.raises(ConfigError, match=f"(?s){message}.*line 4|line 4.*{message}"):
        resolve(home, env=KEYS)


def test_a_newcomer_gets_random_keys_once(home: CrmHome, capsys: pytest.CaptureFixture) -> None:
    first = resolve(home, env={}, feeds_with_files=LONDON)
    assert "made random keys" in capsys.readouterr().err
    path = home.ledger_dir / "keys.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert resolve(home, env={}, feeds_with_files=LONDON).keys == first.keys
    assert capsys.readouterr().err == ""


def test_keys_that_changed_are_refused(home: CrmHome) -> None:
    remember(home, resolve(home, env=KEYS, feeds_with_files=LONDON))
    with pytest.raises(ConfigError, match="not those this home was made with"):
        resolve(home, env={**KEYS, "CRM_ID_KEY": "some other key of good length"})


def test_keys_that_went_missing_are_never_made_up_again(home: CrmHome) -> None:
    remember(home, resolve(home, env=KEYS, feeds_with_files=LONDON))
    (home.ledger_dir / "ledger.sqlite").touch()
    with pytest.raises(ConfigError, match="no longer given"):
        resolve(home, env={})


@pytest.mark.parametrize("missing", KEY_NAMES)
def test_a_single_missing_or_short_key_is_refused(home: CrmHome, missing: str) -> None:
    for value in ("", "short"):
        env = {**KEYS, missing: value}
        with pytest.raises(ConfigError, match=f"(?s){missing}: absent or shorter.*secrets"):
            resolve(home, env=env, feeds_with_files=LONDON)


def test_an_example_brings_its_own_keys_and_settings(home: CrmHome, tmp_path: Path) -> None:
    example = tmp_path / "examples" / "toy"
    example.mkdir(parents=True)
    lines = [*(f"{name}={key}" for name, key in KEYS.items()), "CRM_CURRENCY=GBP"]
    (example / "settings.env").write_text("\n".join(lines))
    arguments = {"CRM_EXAMPLE": "toy"}
    settings = resolve(home, env={}, arguments=arguments, examples=tmp_path / "examples")
    remember(home, settings)
    assert settings.currency == "GBP"
    assert not (home.ledger_dir / "keys.env").exists()
    assert not any(key in home.settings.read_text() for key in KEYS.values())
    assert resolve(home, env={}, examples=tmp_path / "examples") == settings


def test_an_absent_settings_file_is_empty(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "settings.env", allowed=()) == {}
