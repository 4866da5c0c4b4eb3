-- Signals with the rules they are for; browses in a row look at all browses and stand apart (int_tag_browse_runs).
-- One row per customer, rule, day and, where each product counts by itself, product.
with

signals as (select * from {{ ref('int_customer_signals') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

rule_products as (select * from {{ ref('int_tag_rule_products') }}),

matched as (

    select
        signals.customer_id,
        rule_products.rule_id,
        signals.business_date,
        signals.sku,
        signals.detail,
        signals.first_at,
        signals.last_at
    from signals
    inner join rule_products on signals.signal = rule_products.signal and signals.sku = rule_products.sku
    where rule_products.rule_kind <> 'consecutive_events'

    union all

    select
        signals.customer_id,
        rules.rule_id,
        signals.business_date,
        signals.sku,
        signals.detail,
        signals.first_at,
        signals.last_at
    from signals
    inner join rules on signals.signal = rules.signal
    where
        not rules.has_product_filter
        and rules.rule_kind <> 'consecutive_events'
        and (rules.match_text is null or {{ is_in_list('signals.subject', 'rules.match_text') }})

),

-- Days in a row and purchases count days; everything else counts products of a day.
units as (

    select
        matched.*,
        rules.rule_kind,
        case when rules.without_purchase_of = 'product' then matched.sku else '' end as subject_sku,
        case
            when rules.rule_kind = 'count_in_window' or rules.without_purchase_of = 'product' then matched.sku else ''
        end as unit_sku
    from matched
    inner join rules on matched.rule_id = rules.rule_id

),

final as (

    select
        customer_id,
        rule_id,
        rule_kind,
        subject_sku,
        unit_sku,
        business_date,
        min(detail) as detail,
        min(first_at) as first_at,
        max(last_at) as last_at
    from units
    group by customer_id, rule_id, rule_kind, subject_sku, unit_sku, business_date

)

select * from final
