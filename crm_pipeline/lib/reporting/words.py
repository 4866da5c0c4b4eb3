"""The words of the monthly report, Chinese and English side by side.

Add here: a sentence the report says.
Not here: names of tiers, stages and tags (``labels``), which the rule tables carry.
"""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("客户分层运营报告", "Customer tier report"),
    "month": ("{first} 至 {last}", "{first} to {last}"),
    "official": (
        "本月官方分层，对比 {before} 月末。",
        "Official tiers of the month, compared with the month end {before}.",
    ),
    "provisional": (
        "月中快照：分层为当日暂定值；销售对比上月同期（至 {last_before}），分层对比 {before}。",
        "A look within the month: tiers are those of the day; sales are compared with the same "
        "days of the month before (to {last_before}), tiers with the month end {before}.",
    ),
    "money_note": (
        "金额以 {currency} 计，为扣除折扣和退款后的净额；分层消费额为最近 {days} 天。",
        "Amounts in {currency}, net of discounts and refunds; spend of tiers is of the last "
        "{days} days.",
    ),
    "headline": ("核心指标", "Headline figures"),
    "against": ("较上期", "against the month before"),
    "before": ("上期", "before"),
    "no_before": ("无上期可比", "nothing to compare with"),
    "customer_count": ("客户总数", "Customers"),
    "ever_bought_count": ("其中曾购买", "of them ever bought"),
    "new_customer_count": ("新增客户", "New customers"),
    "buyer_count": ("购买客户", "Buyers"),
    "order_count": ("订单数", "Orders"),
    "net_amount": ("净销售额", "Net sales"),
    "average_order_amount": ("客单价", "Average order"),
    "moved_count": ("分层变动客户", "Customers who changed tier"),
    "moved_share": ("占两期均有的客户", "of those known in both months"),
    "sales_by_month": ("近十二个月净销售额", "Net sales of the last twelve months"),
    "tiers": ("客户分层", "Tiers"),
    "tier": ("分层", "Tier"),
    "customers": ("客户数", "Customers"),
    "customer_share": ("客户占比", "Share of customers"),
    "customers_before": ("上月末", "Month before"),
    "spend": ("消费额", "Spend"),
    "spend_share": ("消费占比", "Share of spend"),
    "silent_days": ("平均未购天数", "Days since last order"),
    "moves": ("分层流转", "Moves between tiers"),
    "moves_note": (
        "行为上月末，列为本期；阴影越深人数越多，粗体为变动的客户。",
        "Rows: month end before. Columns: now. The darker the more customers; bold are those who "
        "moved.",
    ),
    "no_moves": (
        "此前没有官方分层月，从下月起可比较。",
        "There is no official month before this one; moves are told from the next one on.",
    ),
    "top_moves": ("主要变动", "Top changes"),
    "top_moves_note": ("按消费额排列的前十类变动。", "The ten largest moves by spend."),
    "from": ("原分层", "From"),
    "to": ("现分层", "To"),
    "lifecycle": ("生命周期", "Lifecycle"),
    "stage": ("阶段", "Stage"),
    "lifecycle_moves": ("本月阶段变动", "Moves between stages this month"),
    "from_stage": ("原阶段", "From"),
    "to_stage": ("现阶段", "To"),
    "tags": ("客户标签", "Tags"),
    "tag": ("标签", "Tag"),
    "holders": ("现有客户", "Held by"),
    "entered": ("本期新增", "Entered"),
    "left": ("本期移出", "Left"),
    "clusters": ("行为聚类", "Clusters by behaviour"),
    "clusters_note": (
        "聚类模型拟合于 {fitted}；只有与上月足够一致时才更新。",
        "Fitted at {fitted}; renewed only where the month groups customers as the one before.",
    ),
    "cluster": ("类别", "Cluster"),
    "orders": ("订单数", "Orders"),
    "views": ("浏览商品", "Products viewed"),
    "quality": ("数据质量", "Data quality"),
    "quality_note": (
        "自接入以来的全部记录：接收 = 采纳 + 隔离 + 重复。",
        "All records since the start: received = accepted + quarantined + duplicate.",
    ),
    "channel": ("渠道", "Channel"),
    "files": ("文件", "Files"),
    "received": ("接收", "Received"),
    "accepted": ("采纳", "Accepted"),
    "quarantined": ("隔离", "Quarantined"),
    "duplicate": ("重复", "Duplicate"),
    "quarantined_share": ("隔离占比", "Share quarantined"),
    "latest": ("最近客户触点", "Latest touch"),
    "quiet_days": ("距今天数", "Days ago"),
    "all_channels": ("合计", "All"),
    "reasons": ("隔离原因（前十）", "Why records are quarantined (top ten)"),
    "reason": ("原因", "Reason"),
    "records": ("记录数", "Records"),
    "late": ("到达时间", "How late records come"),
    "within": ("{days} 天内到达", "within {days} days"),
    "later": ("更晚", "later than that"),
    "share": ("占比", "Share"),
    "left_out": ("未计入汇总", "Not in the rollups"),
    "identity": ("客户识别", "Who is who"),
    "reviewed_pairs": ("人工复核对数", "Reviewed pairs"),
    "precision": ("准确率", "Precision"),
    "recall": ("召回率", "Recall"),
    "accounts": ("账号数", "Accounts"),
    "identified": ("识别出的客户", "Customers found"),
    "open_points": ("待完善事项", "Open points"),
    "not_available": (
        "尚无数据：{marts} 不在本次发布中。",
        "Not available yet: {marts} is not in this build.",
    ),
    "empty": ("本期没有数据。", "Nothing to show this month."),
    "nothing_open": ("无。", "None."),
    "footer": (
        "由已发布数据 {as_of} 生成，不含个人数据；每个数字均由具名查询得出。",
        "Made from the published build as of {as_of}; no personal data. Every figure comes from "
        "a query with a name.",
    ),
}
