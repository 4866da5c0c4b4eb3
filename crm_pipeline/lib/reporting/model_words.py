"""The words of the model report, Chinese and English side by side.

Add here: a sentence the report says, the name of a measure, a rule or a check.
Not here: sentences of the monthly report (``words``).
"""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, str]] = {
    "title_churn": ("流失预测模型报告", "Churn model report"),
    "title_clv": ("客户价值预测模型报告", "Customer value model report"),
    "title_other": ("预测模型报告", "Model report"),
    "version": ("模型版本", "Version"),
    "trained_until": ("训练数据截至", "Learned from data until"),
    "horizon_days": ("预测期（天）", "Days ahead"),
    "data_sha256": ("训练数据指纹", "Hash of the training rows"),
    "code_version": ("代码版本", "Code version"),
    "champion_version": ("对比版本", "Compared with"),
    "promoted": ("已启用：从现在起由此版本评分。", "In use: this version scores from now on."),
    "kept_back": (
        "未启用：继续由原版本评分。",
        "Not in use: the version of before goes on scoring.",
    ),
    "what": ("这个模型是什么", "What this model is"),
    "what_churn": (
        "对每位客户给出一个概率：预测期内不再下单。由梯度提升树与逻辑回归平均而成，并在较晚的时段上校准。",
        "For every customer the probability of no order within the days ahead: the mean of "
        "gradient-boosted trees and a logistic regression, calibrated on a later window.",
    ),
    "what_clv": (
        "对每位客户给出预测期内扣除退款后的预期消费额及其区间。",
        "For every customer the spend to expect within the days ahead, net of refunds, with an "
        "interval.",
    ),
    "what_other": ("对每位客户给出一个预测。", "A prediction for every customer."),
    "use": ("可以用于：", "May be used for: "),
    "use_churn": (
        "为挽留活动排列优先顺序、选择人群、估计活动规模；每次触达仍须同意记录与频次规则允许。",
        "Ordering and choosing customers for retention, and sizing a campaign. Every contact "
        "still needs consent and the caps.",
    ),
    "use_clv": (
        "分配获客与维系预算、排列客户优先顺序；合计值可用于计划，单个客户的数值请连同区间一起看。",
        "Budgets for winning and keeping customers, and their order of priority. Sums serve "
        "planning; a single customer's value is read with its interval.",
    ),
    "use_other": ("为客户排列优先顺序。", "Ordering customers."),
    "not_use": ("不可用于：", "Not for: "),
    "not_use_text": (
        "对个人定价、授信或拒绝服务；健康检查未通过时也不可用于触达。模型说明的是相关，不是原因。",
        "Prices, credit or refusal of service for a person; nor for outreach while a health check "
        "fails. It tells what goes together, not what causes what.",
    ),
    "judged": (
        "以下图表均为事后检验：只用 {day} 及之前的数据做出预测，再与之后实际发生的情况对照。",
        "All charts look back honestly: predictions made with what was known on {day}, beside "
        "what happened afterwards.",
    ),
    "no_backtest": (
        "尚无检验结果：客户太少，或还没有一个预测期结束。",
        "No look back yet: too few customers, or no days ahead are over.",
    ),
    "checks": ("健康检查", "Health checks"),
    "checks_note": (
        "任何一项未通过，就不会依据此模型触达客户；报表不受影响。",
        "While one fails nobody is contacted because of this model; reports go on.",
    ),
    "check": ("检查", "Check"),
    "value": ("数值", "Value"),
    "limit": ("界限", "Limit"),
    "state": ("结果", "Result"),
    "passed": ("通过", "passed"),
    "failed": ("未通过", "failed"),
    "not_measured": ("未测得", "not measured"),
    "check_psi": ("特征漂移（最大 PSI）", "Drift of the inputs (largest PSI)"),
    "check_psi_max": ("特征漂移（最大 PSI）", "Drift of the inputs (largest PSI)"),
    "check_score_psi": ("评分漂移（PSI）", "Drift of the scores (PSI)"),
    "check_ece": ("校准误差", "Calibration error"),
    "check_calibration_slope": ("校准斜率", "Slope of the calibration"),
    "check_auc": ("区分能力（AUC）", "Telling apart (AUC)"),
    "check_age_days": ("模型使用天数", "Days since training"),
    "check_coverage_pct": ("区间覆盖率", "Coverage of the intervals"),
    "check_total_error_pct": ("总额误差", "Error of the total"),
    "versus": ("新版本与原版本", "This version against the one before"),
    "versus_note": (
        "在相同检验日上的平均值。",
        "Means over the days both were judged at.",
    ),
    "first_version": (
        "这是第一个版本，没有可对比的版本。",
        "The first version: there is none to compare with.",
    ),
    "no_common_days": (
        "两个版本没有共同的检验日，无法对比。",
        "The two were never judged at the same day and cannot be compared.",
    ),
    "measure": ("指标", "Measure"),
    "better": ("优向", "Better"),
    "higher": ("越高越好", "higher"),
    "lower": ("越低越好", "lower"),
    "near_zero": ("越近零越好", "near zero"),
    "near_one": ("越近一越好", "near one"),
    "challenger": ("此版本", "This version"),
    "champion": ("原版本", "Before"),
    "difference": ("差异", "Difference"),
    "cutoff_count": ("检验日数", "Days judged"),
    "measures": ("与简单规则相比", "Beside plain rules"),
    "measures_note": (
        "模型必须胜过这些不用机器学习的规则，否则不值得使用。",
        "The model has to beat these rules that learn nothing, or it is not worth its cost.",
    ),
    "cutoff": ("检验日", "Day"),
    "mean": ("平均", "Mean"),
    "who": ("方法", "Method"),
    "context": ("检验的规模", "Size of the look back"),
    "figure": ("项目", "Figure"),
    "measure_auc": ("AUC", "AUC"),
    "measure_pr_auc": ("PR-AUC", "PR-AUC"),
    "measure_lift_at_10pct": ("前一成提升度", "Lift, top tenth"),
    "measure_brier": ("Brier 分数", "Brier score"),
    "measure_ece": ("校准误差", "Calibration error"),
    "measure_log_loss": ("对数损失", "Log loss"),
    "measure_calibration_slope": ("校准斜率", "Slope of the calibration"),
    "measure_spearman": ("秩相关", "Rank correlation"),
    "measure_normalized_gini": ("归一化基尼", "Normalised Gini"),
    "measure_mae_over_mean": ("平均误差 / 均值", "Mean error / mean"),
    "measure_total_error_pct": ("总额误差", "Error of the total"),
    "baseline_model": ("模型", "Model"),
    "baseline_playbook": ("手册触发规则", "Playbook trigger"),
    "baseline_days_since_last_order": ("未购天数", "Days of silence"),
    "baseline_rfm": ("RFM 打分", "RFM score"),
    "baseline_bg_nbd": ("BG/NBD 概率模型", "BG/NBD"),
    "baseline_bg_nbd_gamma_gamma": ("BG/NBD 与 Gamma-Gamma", "BG/NBD + Gamma-Gamma"),
    "baseline_past_spend": ("去年消费额", "Spend of last year"),
    "baseline_boosting": ("梯度提升树", "Gradient boosting"),
    "baseline_xgboost": ("梯度提升树", "Gradient boosting"),
    "figure_customer_count": ("客户数", "Customers"),
    "figure_churn_rate": ("流失比例", "Share who left"),
    "figure_training_cutoff_count": ("学习所用的截止日数", "Cut-offs learned from"),
    "figure_training_row_count": ("学习所用的行数", "Rows learned from"),
    "figure_round_count": ("树的数量", "Trees"),
    "figure_actual_spend_amount": ("实际消费额", "Actual spend"),
    "figure_leak_suspected": ("疑似数据泄漏", "Leak suspected"),
    "figure_playbook_flagged_share_pct": ("手册规则选中占比", "Named by the playbook"),
    "figure_playbook_precision": ("手册规则选中者流失比例", "Playbook: of them left"),
    "figure_playbook_recall": ("手册规则找到的流失比例", "Playbook: of all who left"),
    "figure_at_playbook_budget_precision": (
        "同样人数下模型选中者流失比例",
        "Model, as many customers: of them left",
    ),
    "figure_at_playbook_budget_recall": (
        "同样人数下模型找到的流失比例",
        "Model, as many customers: of all who left",
    ),
    "figure_calibration_slope": ("校准斜率", "Slope of the calibration"),
    "figure_calibration_intercept": ("校准截距", "Intercept of the calibration"),
    "gains": ("提升图", "Lift chart"),
    "gains_note": (
        "按各方法从高到低选取客户，能找到多少。灰线为随机选取；越靠左上越好。",
        "Customers chosen from the top of each ranking, and how much of the outcome they hold. "
        "Grey is choosing by chance; further up and left is better.",
    ),
    "share_chosen": ("选取的客户占比", "share of customers chosen"),
    "share_churned": ("找到的流失客户占比", "share of those who left"),
    "share_spent": ("覆盖的消费额占比", "share of spend"),
    "calibration": ("校准图", "Calibration chart"),
    "calibration_note": (
        "每个点是十分之一的客户：横轴为预测均值，纵轴为实际均值；灰线上表示预测与实际一致。",
        "Each dot is a tenth of the customers: what was predicted across, what happened up. On the "
        "grey line both agree.",
    ),
    "mean_predicted": ("预测均值", "Mean predicted"),
    "mean_actual": ("实际均值", "Mean actual"),
    "groups": ("各组", "tenths"),
    "deciles": ("十分位表", "Tenths"),
    "deciles_note": (
        "客户按预测值从高到低分成十组；累计列包含其上各组。",
        "Customers in ten groups by falling prediction; cumulative columns hold the groups above.",
    ),
    "decile": ("组", "Group"),
    "customers": ("客户数", "Customers"),
    "captured_pct": ("累计占比", "Cumulative share"),
    "lift": ("累计提升度", "Cumulative lift"),
    "budget": ("相同预算下与手册触发规则相比", "Against the playbook's trigger at equal budget"),
    "budget_note": (
        "手册规则选出多少客户，其他方法就选出同样多的客户。",
        "As many customers from the top of every ranking as the playbook's trigger names.",
    ),
    "hit_pct": ("选中者流失占比", "of them left"),
    "captured_left_pct": ("占全部流失客户", "of all who left"),
    "plain_lift": ("提升度", "Lift"),
    "intervals": ("区间覆盖率", "Coverage of the intervals"),
    "intervals_note": (
        "区间应包含约 {nominal}% 的实际结果；按预测值从高到低分组。",
        "Intervals are to hold about {nominal}% of the outcomes; groups by falling prediction.",
    ),
    "group": ("组", "Group"),
    "all": ("全部", "All"),
    "mean_low": ("下限均值", "Mean lower end"),
    "mean_high": ("上限均值", "Mean upper end"),
    "below_pct": ("低于区间", "Below"),
    "above_pct": ("高于区间", "Above"),
    "covered_pct": ("区间内", "Inside"),
    "effects": ("特征的影响", "What moves the prediction"),
    "effects_note": (
        "占比为各特征在全部贡献中的份额；曲线为特征取值变化时的平均预测，其余不变。",
        "Shares are of all contributions; a curve is the mean prediction as one input changes and "
        "the rest stays.",
    ),
    "feature_value": ("取值", "value"),
    "mean_prediction": ("平均预测", "mean prediction"),
    "drift": ("特征漂移", "Drift of the inputs"),
    "drift_note": (
        "PSI 比较训练时与今天的分布；超过 {limit} 表示已明显改变。",
        "PSI compares the distribution at training with today's; above {limit} it has moved.",
    ),
    "feature": ("特征", "Input"),
    "psi": ("PSI", "PSI"),
    "moved": ("已改变", "moved"),
    "steady": ("稳定", "steady"),
    "training": ("训练记录", "Figures of the training"),
    "empty": ("没有数据。", "Nothing to show."),
    "footer": (
        "由训练时的事后检验生成，不含个人数据；全部数字的原值见同目录的 {file}。",
        "Made from the training's own look back; no personal data. All figures unrounded: {file} "
        "beside this page.",
    ),
}
# Which way a measure improves.
BETTER = {
    "brier": "lower",
    "log_loss": "lower",
    "ece": "lower",
    "calibration_slope": "near_one",
    "mae_over_mean": "lower",
    "total_error_pct": "near_zero",
}
