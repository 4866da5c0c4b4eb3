"""Who would move, as a page: one offline file in Chinese and English.

Add here: a section of the page.
Not here: figures (``preview``), elements any page needs (``lib/reporting/html``).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from crm_pipeline.lib.reporting.html import Content, Markup, join, page, table, tag
from crm_pipeline.lib.reporting.labels import LANGUAGES, TIER_NAMES, Labels
from crm_pipeline.lib.rules.edits import RowEdit
from crm_pipeline.lib.rules.preview import MovedCustomer, RulePreview

# Both languages stand in the page; two radio buttons show one of them, without any script.
STYLE = """
.switch { float: right; font-size: .875rem; }
input[name=language] { position: absolute; opacity: 0; }
#to-zh:checked ~ .page [lang=en], #to-en:checked ~ .page [lang=zh-CN] { display: none; }
#to-zh:checked ~ .switch label[for=to-zh], #to-en:checked ~ .switch label[for=to-en] {
  font-weight: 700; text-decoration: underline; }
input:focus-visible ~ .switch { outline: 2px solid #0072b2; }
td.stays { color: #6e7781; } td.moves { background: #e6f1f8; font-weight: 600; }
td small { display: block; font-weight: 400; color: #57606a; }
del { color: #a03d00; } ins { color: #005a8c; text-decoration: none; font-weight: 600; }
"""

USUAL_NAMES = Labels(TIER_NAMES)
TITLE = ("规则调整预览", "Change a rule and see who moves")


def render_page(found: RulePreview, labels: Labels = USUAL_NAMES) -> str:
    """The preview as one HTML document."""
    switch = join(
        [
            Markup('<input type="radio" name="language" id="to-zh" checked>'),
            Markup('<input type="radio" name="language" id="to-en">'),
            tag(
                "div",
                tag("label", "中文", for_="to-zh"),
                " · ",
                tag("label", "English", for_="to-en"),
                class_="switch screen",
            ),
        ]
    )
    main = tag("main", join(_sections(found, labels)), class_="page")
    return page(" · ".join(TITLE), join([switch, main]), language="zh-CN", style=STYLE)


def both(chinese: str, english: str) -> Markup:
    """One text in both languages, of which one is shown."""
    texts = zip(LANGUAGES, (chinese, english), strict=True)
    return join(tag("span", text, lang=language) for language, text in texts)


def _sections(found: RulePreview, labels: Labels) -> Iterator[Content]:
    yield tag("h1", both(*TITLE))
    yield tag(
        "p",
        both(
            f"数据截至 {found.as_of}。仅为预览，未改变任何数据。",
            f"As of {found.as_of}. A preview only: nothing has been changed.",
        ),
        class_="muted",
    )
    yield tag("h2", both("改动的规则行", "Rows that differ"))
    yield _edits(found)
    if not found.models:
        yield tag(
            "p",
            both(
                "这些表不影响临时层级和标签；正式层级、阶段等其他结果不在预览范围内。",
                "No provisional tier and no tag is made from these tables. What else follows from "
                "them, such as official tiers or stages, is not previewed.",
            ),
        )
        return
    yield _headline(found)
    yield tag("h2", both("分层变动（行：现在；列：改后）", "Tiers (rows: now, columns: then)"))
    yield _matrix(found, labels)
    if found.has_tags:
        yield tag("h2", both("标签变动", "Tags"))
        yield _tags(found)
    if found.customers:
        count = len(found.customers)
        yield tag(
            "h2",
            both(f"变动客户（按消费额前 {count} 位）", f"Who moves (the first {count} by spend)"),
        )
        yield _customers(found, labels)


def _edits(found: RulePreview) -> Markup:
    if not found.edits:
        return tag("p", both("与现行规则没有差别。", "No row differs from the rules in place."))
    kinds = {
        "added": both("新增", "added"),
        "removed": both("删除", "removed"),
        "changed": both("修改", "changed"),
    }
    head = (both("规则表", "Table"), both("行", "Row"), both("规则", "Rule"),
            both("改动", "Change"), both("内容", "Cells"))  # fmt: skip
    rows = [
        (
            tag("code", edit.table),
            str(edit.row_number),
            tag("code", edit.key),
            kinds[edit.kind],
            _cells(edit),
        )
        for edit in found.edits
    ]
    return table(head, rows, text_columns=5)


def _cells(edit: RowEdit) -> Markup:
    def change(name: str, old: str, new: str) -> Markup:
        if edit.kind != "changed":
            return tag("div", tag("code", name), " ", old or new)
        before, after = tag("del", old or "∅"), tag("ins", new or "∅")
        return tag("div", tag("code", name), " ", before, " → ", after)

    return join(change(*cell) for cell in edit.cells)


def _headline(found: RulePreview) -> Markup:
    figures = [
        (both("客户总数", "Customers"), found.customer_count),
        (both("分层变动", "Would change their tier"), found.moved_count),
    ]
    if found.has_tags:
        figures.append((both("标签变动", "Would gain or lose a tag"), found.retagged_count))
    cards = (tag("div", name, tag("b", f"{count:,}"), class_="card") for name, count in figures)
    return tag("div", join(cards), class_="cards")


def _matrix(found: RulePreview, labels: Labels) -> Markup:
    sources = labels.tier_order({move.from_tier for move in found.matrix})
    targets = labels.tier_order({move.to_tier for move in found.matrix})
    moves = {(move.from_tier, move.to_tier): move for move in found.matrix}

    def cell(source: str, target: str) -> Markup:
        move = moves.get((source, target))
        if move is None:
            return tag("td")
        kind = "stays" if source == target else "moves"
        spend = tag("small", _money(move.spend_amount))
        return tag("td", f"{move.customer_count:,}", spend, class_=f"number {kind}")

    head = join(tag("th", _tier(target, labels), class_="number") for target in targets)
    rows = (
        tag(
            "tr", tag("th", _tier(source, labels)), join(cell(source, target) for target in targets)
        )
        for source in sources
    )
    grid = tag("table", tag("thead", tag("tr", tag("th"), head)), tag("tbody", join(rows)))
    note = both(
        f"每格为客户数，下为规则窗口内消费额（{found.currency}）。",
        f"Customers, and below them their spend in the window of the ladder ({found.currency}).",
    )
    return join([tag("div", grid, class_="scroll"), tag("p", note, class_="muted")])


def _tags(found: RulePreview) -> Markup:
    if not found.tags:
        return tag("p", both("没有标签变动。", "No tag would change."))
    head = (both("标签", "Tag"), both("获得", "Gained by"), both("失去", "Lost by"))
    rows = [(move.tag, f"{move.gained_count:,}", f"{move.lost_count:,}") for move in found.tags]
    return table(head, rows)


def _customers(found: RulePreview, labels: Labels) -> Markup:
    head = (
        both("客户编号", "Customer"), both("现在", "Now"), both("改后", "Then"),
        both("标签", "Tags"), both("R 天", "R days"), both("F 单", "F orders"),
        f"M {found.currency}",
    )  # fmt: skip
    rows = [
        (
            tag("code", customer.customer_id),
            _placed(customer.from_tier, customer.from_rule, labels),
            _placed(customer.to_tier, customer.to_rule, labels),
            _tag_changes(customer),
            f"{customer.days_since_last_order:,}",
            f"{customer.order_count:,}",
            "–" if customer.spend_amount is None else _money(customer.spend_amount),
        )
        for customer in found.customers
    ]
    return table(head, rows, text_columns=4)


def _tag_changes(customer: MovedCustomer) -> Markup:
    gained = (tag("ins", f"+{one} ") for one in customer.gained_tags.split())
    lost = (tag("del", f"{one} ") for one in customer.lost_tags.split())
    return join([*gained, *lost])


def _placed(tier: str, rule: str, labels: Labels) -> Markup:
    return join([_tier(tier, labels), " ", tag("code", rule)])


def _tier(tier: str, labels: Labels) -> Markup:
    return both(*(labels.tier(tier, language) for language in LANGUAGES))


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"
