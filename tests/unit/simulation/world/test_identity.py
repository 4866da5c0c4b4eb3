"""The world is hard to see through by equal texts, and rules see through it nearly whole.

Add here: a trap for rules that say who is who.
Not here: the rules themselves (``ml.identity``).
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.identity import IdentifierKind, Semantics, normalise_column, resolve
from ml.identity.evaluation import IdentityQuality, evaluate_clusters, evaluate_on_labels
from simulation.sales import store_phones
from tests.identity_sightings import COLUMNS, identifier_kinds, raw_sightings, sightings
from tests.unit.simulation.world.support import Read, make, near

# The rates of the demo, without those who play its last day: they are reached everywhere.
DEMO = {
    "purchases__rate_scale_days": 45,
    "behaviour__sessions_per_month": 1.3,
    "scenarios__candidates_per_journey": 0,
    "scenarios__cases_per_outcome": 0,
}
ACCOUNT_FEEDS = ("tmall_accounts", "jd_accounts", "douyin_accounts", "mini_program_accounts",
                 "app_accounts", "pos_members", "wecom_contacts", "legacy_accounts")  # fmt: skip
TYPED_CARDS = ("tmall_accounts", "jd_accounts", "douyin_accounts", "mini_program_accounts",
               "app_accounts", "wecom_contacts")  # fmt: skip


@dataclass(frozen=True)
class Resolved:
    """A world, what is seen of it, and who the rules say is who (views of ``connection``)."""

    world: Read
    raw: pa.Table
    told: pa.Table
    truth: pd.DataFrame
    clusters: pd.DataFrame
    connection: duckdb.DuckDBPyConnection

    def rows(self, query: str) -> list[tuple]:
        return self.connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> Resolved:
    world = make(tmp_path_factory.mktemp("identity"), world__people=1500, **DEMO)
    raw = raw_sightings(world.connection, world.parameters)
    told = sightings(raw)
    truth = world.connection.sql(
        "select channel || ':' || source_customer_id as record_id, person_id as cluster_id "
        "from truth_accounts"
    ).df()
    clusters = _clusters(told, identifier_kinds())
    connection = duckdb.connect(":memory:")
    connection.register("raw", raw)
    connection.register("clusters", clusters)
    connection.register("truth", truth)
    connection.register("told", told)
    connection.execute(
        "create view seen as select told.*, truth.cluster_id as person, clusters.cluster_id "
        "as cluster from told join truth on account = record_id join clusters using (record_id)"
    )
    return Resolved(world, raw, told, truth, clusters, connection)


def _clusters(table: pa.Table, kinds: tuple[IdentifierKind, ...]) -> pd.DataFrame:
    found = resolve(table.select(list(COLUMNS)), kinds).clusters.to_pandas()
    return found.rename(columns={"account": "record_id", "cluster": "cluster_id"})[
        ["record_id", "cluster_id"]
    ]


def _quality(resolved: Resolved, clusters: pd.DataFrame) -> IdentityQuality:
    return evaluate_clusters(clusters, resolved.truth)


def test_rules_find_nearly_every_pair_and_hardly_a_wrong_one(resolved: Resolved) -> None:
    quality = _quality(resolved, resolved.clusters)
    assert quality.true_pair_count > 2000
    assert quality.pairwise_precision is not None and quality.pairwise_precision >= 0.995
    assert quality.pairwise_recall is not None and quality.pairwise_recall >= 0.92


def test_equal_texts_find_two_of_three_pairs_at_most(resolved: Resolved) -> None:
    names = [kind.name for kind in identifier_kinds() if kind.links]
    as_written = resolved.raw.filter(pc.is_in(resolved.raw["kind"], pa.array(names)))
    equal = tuple(IdentifierKind(name, Semantics.EQUALITY_ONLY, 1) for name in names)
    quality = _quality(resolved, _clusters(as_written, equal))
    assert quality.pairwise_recall is not None and 0.3 < quality.pairwise_recall <= 0.65


# What two people have in common, by kind of sighting.
TRAPS = {
    "number given out again": "kind = 'phone'",
    "lent number": "kind = 'virtual_phone'",
    "landline of a household": "kind = 'landline' and value not like '+862_50%'",
    "phone of a shop": f"value in ({', '.join(f'{phone!r}' for phone in store_phones())})",
    "tablet of a household": "kind = 'device'",
    "number of a receiver": "kind in ('receiver_phone', 'phone')",
    "address of a receiver": "kind in ('receiver_address', 'address_name')",
    "number blotted out": "value like '%*%'",
}
AS_WRITTEN = ("phone of a shop", "number blotted out")


@pytest.mark.parametrize("trap", TRAPS)
def test_no_trap_makes_two_people_one(resolved: Resolved, trap: str) -> None:
    seen = "seen"
    if trap in AS_WRITTEN:
        seen = (
            "(select raw.*, raw.person_id as person, cluster_id as cluster "
            "from raw join clusters on account = record_id)"
        )
    shared, merged = resolved.rows(
        f"""
        with held as (select distinct value, person, cluster from {seen} where {TRAPS[trap]})
        select count(distinct value), count(*) filter (one.cluster = other.cluster)
        from held one join held other using (value) where one.person < other.person
        """
    )[0]
    assert shared > 0
    assert merged == 0


def test_a_number_rests_before_somebody_else_gets_it(resolved: Resolved) -> None:
    rests = resolved.rows(
        """
        with spans as (
            select value, person, min(seen_from) as first, max(seen_to) as last
            from seen where kind = 'phone' group by all
        )
        select min(datediff('second', one.last, other.first) / 86400), count(*)
        from spans one join spans other using (value)
        where one.person <> other.person and one.first < other.first
        """
    )[0]
    assert rests[1] > 2
    valid = {kind.name: kind.valid_days for kind in identifier_kinds()}["phone"]
    assert rests[0] > valid


def test_every_phone_of_a_shop_is_excluded(resolved: Resolved) -> None:
    landline = next(kind for kind in identifier_kinds() if kind.name == "landline")
    shops, _ = normalise_column("phone", pa.array(store_phones()))
    numbers = [number for number in shops.to_pylist() if number]
    assert len(numbers) > 20
    pattern = landline.exclude_patterns[0]
    found = resolved.connection.execute(
        "select bool_and(regexp_full_match(number, ?)) from unnest(?) as shops (number)",
        [pattern, numbers],
    ).fetchone()
    assert found == (True,)


@pytest.mark.parametrize(
    ("feeds", "what", "written_so", "among", "share"),
    [
        (ACCOUNT_FEEDS, "phone", "not regexp_full_match(phone, '1[0-9]{10}')",
         "phone_valid_until is null and phone not like '%*%' "
         "and not regexp_full_match(phone, '0[0-9]{2,3}-[0-9]{8}')", "respelled_phone_share"),
        (ACCOUNT_FEEDS, "email", "email <> lower(email)",
         "store_id is null and email is not null", "respelled_email_share"),
        (TYPED_CARDS, "member_number", "not regexp_full_match(member_number, 'VIP[0-9]{12}')",
         "member_number is not null", "respelled_member_share"),
        (("tmall_accounts", "jd_accounts", "douyin_accounts"), "phone", "phone like '%*%'",
         "phone_valid_until is null", "masked_phone_share"),
    ],
)  # fmt: skip
def test_identifiers_are_written_otherwise_at_the_declared_rates(
    resolved: Resolved, feeds: tuple[str, ...], what: str, written_so: str, among: str, share: str
) -> None:
    written = " union all ".join(
        f"select phone, phone_valid_until, email, member_number, store_id from {feed}"
        for feed in feeds if not (what == "email" and feed == "legacy_accounts")
    )  # fmt: skip
    found, count = resolved.world.rows(
        f"select avg(({written_so})::int), count(*) from ({written}) where {among}"
    )[0]
    assert count > 300
    assert near(found, getattr(resolved.world.parameters.people, share), count)


def _judged(usual: Read) -> pd.DataFrame:
    return usual.connection.sql(
        """
        select left_channel || ':' || left_customer_id as left,
            right_channel || ':' || right_customer_id as right,
            verdict = 'same' as is_same, l.person_id as one, r.person_id as other
        from identity_reviews
        join truth_accounts l
            on l.channel = left_channel and l.source_customer_id = left_customer_id
        join truth_accounts r
            on r.channel = right_channel and r.source_customer_id = right_customer_id
        where verdict <> 'unsure'
        """
    ).df()


def test_judged_pairs_measure_what_the_truth_says(usual: Read) -> None:
    judged = _judged(usual)
    truth = usual.connection.sql(
        "select channel || ':' || source_customer_id as record_id, person_id as cluster_id "
        "from truth_accounts"
    ).df()
    told = sightings(raw_sightings(usual.connection, usual.parameters))
    clusters = _clusters(told, identifier_kinds())
    whole = evaluate_clusters(clusters, truth)
    sample = evaluate_on_labels(clusters, judged[["left", "right", "is_same"]])
    same, told_count = sample.true_pair_count, sample.judged_pair_count
    assert same > 100 and told_count - same > 100
    assert whole.pairwise_recall is not None and sample.pairwise_recall is not None
    assert near(sample.pairwise_recall, whole.pairwise_recall, same)
    assert sample.pairwise_precision == pytest.approx(whole.pairwise_precision, abs=0.02)


@pytest.mark.parametrize(
    ("hard", "alike"),
    [
        ("household", "select person_id, household_id::varchar from truth_people"),
        ("tablet", "select person_id, device_id from truth_devices where is_shared"),
        ("namesake", "select person_id, display_name from jd_accounts union "
                     "select person_id, display_name from app_accounts union "
                     "select person_id, display_name from pos_members"),
        ("number", "select person_id, right(phone, 11) from app_accounts union "
                   "select person_id, right(phone, 11) from mini_program_accounts union "
                   "select person_id, right(phone, 11) from pos_members union "
                   "select person_id, right(phone, 11) from wecom_contacts"),
    ],
)  # fmt: skip
def test_judged_pairs_of_two_people_are_hard_ones(usual: Read, hard: str, alike: str) -> None:
    judged = _judged(usual)
    usual.connection.register("judged", judged)
    found = usual.rows(
        f"""
        with alike (person, mark) as ({alike})
        select count(distinct (one, other)) from judged
        join alike a on a.person = one join alike b on b.person = other
        where not is_same and a.mark = b.mark
        """
    )[0][0]
    assert found > (2 if hard == "number" else 10)
