"""The classes of ``meta.pii`` in dbt, and how they follow from the contracts of the entities.

Add here: a class, a column whose class its name does not tell.
Not here: which column has which class (the YAML beside the models).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crm_pipeline.lib.ingestion.contracts.columns import Entity, PiiClass

CLASSES: dict[str, str] = {
    "none": "Says nothing about a person by itself.",
    "token": "A key without meaning outside: a keyed hash, an id of ours, the number of an "
    "account, an order or a parcel. Only the vault or the channel knows whose it is.",
    "mask": "A contact with most characters hidden, for people to recognise.",
    "indirect": "Leads to a person together with others: a place, a shop guide, a device.",
    "sensitive": "Needs care by law or by its nature: gender, birth. Never less where it goes.",
    "text": "Words somebody wrote, which may hold anything. In staging only.",
}
STAGING_ONLY = frozenset({"text"})

# Class of a column in a contract or in staging -> what a column of that name may be after it. What
# names or reaches a person (direct) has no column behind the door, what people wrote none in marts.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "none": tuple(CLASSES),
    "token": ("token", "mask", "indirect", "sensitive"),
    "mask": ("token", "mask", "indirect", "sensitive"),
    "indirect": ("indirect", "sensitive"),
    "sensitive": ("sensitive",),
    "text": (),
    "direct": (),
}
# The contracts call every key that leads to a person indirect; behind the door it is a token.
FOLLOWS_CONTRACT = FOLLOWS | {"indirect": ("token", "mask", "indirect", "sensitive")}
STRICTNESS: tuple[PiiClass, ...] = ("none", "indirect", "sensitive", "direct")

# Made from a column of another name, and no less personal.
MADE_FROM = {
    "birth_year": "birth_date",
    "birth_month": "birth_date",
    "birth_day": "birth_date",
}
# One name, two things: a device that is used says less than the device an account was opened on,
# which stays at the door with the other keys of the account.
NAMED_ALIKE: dict[str, PiiClass] = {"device_id": "indirect"}


def classes_of_names(entities: Iterable[Entity]) -> dict[str, PiiClass]:
    """The strictest class a contract gives to each column name."""
    found: dict[str, PiiClass] = {}
    for entity in entities:
        for column in entity.columns:
            known = found.get(column.name, "none")
            found[column.name] = max(known, column.pii, key=STRICTNESS.index)
    return _with_derived(found | NAMED_ALIKE)


def classes_of_entity(entity: Entity) -> dict[str, PiiClass]:
    """The class one entity's contract gives to each of its columns."""
    return _with_derived({column.name: column.pii for column in entity.columns})


def _with_derived(classes: Mapping[str, PiiClass]) -> dict[str, PiiClass]:
    derived = {name: classes[source] for name, source in MADE_FROM.items() if source in classes}
    return {**classes, **derived}
