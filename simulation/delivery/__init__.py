"""From clean records to a landing folder as dirty as the channels really are.

Add here: how files are planned, spoilt and written.
Not here: what happens in the world (``simulation``), how a channel spells it (``channels/``).

How to add a feed
-----------------
A module in ``channels/`` exports ``FEEDS``, a tuple of ``FeedWriter``; nothing else is to be done.

The engine leaves clean records in ``<clean>/<feed>/period=<YYYYMM>/*.parquet``: the columns of the
entity's contract and ``person_id``, ``updated_at``, ``deliver_at``, ``is_protected``. A column that
is not there is null for the writer. A feed without clean records gets no file.

``Field(header, sql, kind)`` is one column of the file. ``sql`` reads the clean columns and gives a
text (in Parquet a typed value); ``text()``, ``free()`` (anything people type, quoted and escaped)
and ``number()`` are short for it. Words for instants, money and masks are in ``sql``. An absent
cell is null. ``updated_at`` is never null: without a version it is the instant of the event.
``delivered_at`` is the moment of the delivery: nothing in a file may have happened after it.

``format`` is ``Csv(encoding, delimiter, extension, newline, bom, title)``, ``Jsonl()``,
``Parquet()`` or ``Xlsx(sheet, title)``; for JSON a header with dots (``buyer.open_id``) stands in
objects of its own, and ``number`` cells stand there as they are.

``cadence`` is ``large``, ``small`` (``months_per_file`` has the months of a history file) or
``once``. The last days come day by day, late records with the next delivery after
``deliver_at``. File names are
``<folder>_<local time %Y%m%dT%H%M%S>[_n].<extension>``; a feed's YAML reads ``known_at`` from it.

``nested=Nested(feed, entity, header, fields)`` puts another clean feed as a list of objects into
each object (cell ``nested_text``: write ``Field(header, "nested_text", "raw")``).
``beside=Beside(feed, entity, alias)`` joins another clean feed of the same file, one for one.

``defects`` says what may be broken: the functions of ``defects`` make the usual kinds for a
header. Every kind names the reason code of the door, so be sure that the feed's YAML gives just
that reason for the changed cell. A changed record never becomes two reasons: one cell is changed.
In JSON ``number`` cells the new text must be JSON; in Parquet the new value has the column's type.

``write_landing`` returns ``Landed``: the files, the table of defects, and per feed the accounts
with a record that has no defect.
"""

from simulation.delivery.channels import all_feeds
from simulation.delivery.feed_writer import (
    Beside,
    Csv,
    FeedWriter,
    Field,
    Jsonl,
    Nested,
    Parquet,
    Xlsx,
    free,
    number,
    text,
)
from simulation.delivery.landing import Landed, WrittenFile, write_landing
from simulation.delivery.plan import Delivery, DeliveryParameters, delivery_parameters

__all__ = [
    "Beside",
    "Csv",
    "Delivery",
    "DeliveryParameters",
    "FeedWriter",
    "Field",
    "Jsonl",
    "Landed",
    "Nested",
    "Parquet",
    "WrittenFile",
    "Xlsx",
    "all_feeds",
    "delivery_parameters",
    "free",
    "number",
    "text",
    "write_landing",
]
