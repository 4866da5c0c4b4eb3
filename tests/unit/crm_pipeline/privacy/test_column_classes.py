"""Every column people can read has a class, and none is weaker than where it comes from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from crm_pipeline import cli
from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.entities import ENTITIES
from crm_pipeline.lib.privacy import check_columns, find_column_problems
from crm_pipeline.lib.privacy.classes import MADE_FROM, NAMED_ALIKE

MODELS = Path(__file__).resolve().parents[4] / "dbt_project" / "models"


def put(models: Path, model: str, *columns: str) -> None:
    """A model in the folder of its layer; columns as ``name`` or ``name: class``."""
    path = models / f"{model}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".sql").write_text("select 1", encoding="utf-8")
    lines = [f"models:\n  - name: {path.stem}\n    columns:"]
    for column in columns:
        name, _, pii = column.partition(": ")
        lines.append(f"      - name: {name}")
        if pii:
            lines.append(f"        config: {{meta: {{pii: {pii}}}}}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.requirement("PRV-4")
def test_every_column_of_the_project_is_classified() -> None:
    assert find_column_problems(MODELS) == []
    check_columns(MODELS)


@pytest.mark.requirement("PRV-4")
@pytest.mark.parametrize("layer", ["marts/sales", "metrics", "ops", "activation"])
@pytest.mark.parametrize(
    ("column", "what", "remedy"),
    [
        ("tier", "it has no class", "Write pii: one of none, token, mask, indirect, sensitive"),
        ("tier: secret", "'secret' is no class", "Write pii: one of none, token"),
        ("tier: text", "'text' is no class a column of", "Write pii: one of none"),
        ("gender: none", "a contract says sensitive", "Write pii: sensitive"),
        ("gender: indirect", "a contract says sensitive", "Write pii: sensitive"),
        ("birth_year: none", "a contract says sensitive", "Write pii: sensitive"),
        ("city_name: none", "a contract says indirect", "Write pii: token or mask or indirect"),
        ("phone: token", "a contract says direct", "Take it out"),
        ("email: sensitive", "a contract says direct", "Take it out"),
        ("wechat_unionid: mask", "a contract says direct", "Take it out"),
        ("review_text: sensitive", "stg_reviews says text", "Take it out"),
        ("won_by: none", "stg_reviews says indirect", "Write pii: indirect or sensitive"),
    ],
)
def test_a_column_without_the_class_it_needs_is_told(
    tmp_path: Path, layer: str, column: str, what: str, remedy: str
) -> None:
    put(tmp_path, "staging/stg_reviews", "review_text: text", "won_by: indirect")
    put(tmp_path, f"{layer}/made_up", "customer_id: token", column)
    [problem] = find_column_problems(tmp_path)
    assert (problem.model, problem.column) == ("made_up", column.partition(":")[0])
    assert what in problem.what
    assert problem.remedy.startswith(remedy)
    with pytest.raises(ConfigError, match=f"model made_up, column {problem.column}: "):
        check_columns(tmp_path)


def test_a_class_may_be_stricter_than_where_it_comes_from(tmp_path: Path) -> None:
    put(tmp_path, "marts/made_up", "city_name: sensitive", "order_id: token", "sku: indirect")
    assert find_column_problems(tmp_path) == []


def test_staging_follows_the_contract_of_its_own_entity(tmp_path: Path) -> None:
    put(tmp_path, "staging/stg_weather_alerts", "city_name: none")
    put(tmp_path, "staging/stg_accounts", "city_name: none", "gender: indirect", "phone: token")
    told = {(problem.model, problem.column) for problem in find_column_problems(tmp_path)}
    assert told == {("stg_accounts", column) for column in ("city_name", "gender", "phone")}


@pytest.mark.requirement("PRV-4")
def test_a_model_nobody_described_is_told(tmp_path: Path) -> None:
    put(tmp_path, "marts/made_up")
    put(tmp_path, "marts/other", "sku: none")
    (tmp_path / "marts" / "other.yml").unlink()
    assert [problem.model for problem in find_column_problems(tmp_path)] == ["made_up", "other"]


@pytest.mark.requirement("PRV-4")
def test_the_check_command_fails_for_an_unclassified_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(MODELS, tmp_path / "dbt_project" / "models")
    path = tmp_path / "dbt_project" / "models" / "marts" / "customers" / "dim_customers.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("        config: {meta: {pii: sensitive}}\n", "", 1), "utf-8")
    monkeypatch.setattr(cli, "PROJECT", tmp_path)
    monkeypatch.setattr(cli, "open_home", CrmHome)  # without the settings of a home
    done = CliRunner().invoke(cli.main, ["check"])
    assert done.exit_code == 1
    assert "model dim_customers, column gender: it has no class" in done.output


def test_names_with_a_rule_of_their_own_are_names_of_a_contract() -> None:
    names = {column.name for entity in ENTITIES.values() for column in entity.columns}
    assert set(MADE_FROM.values()) | set(NAMED_ALIKE) <= names
