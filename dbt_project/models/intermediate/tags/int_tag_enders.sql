{{ config(materialized='view') }}

-- What cancels or ends a tag: the purchase a rule says must not come, taking the product out again, a guide taking the
-- tag off. One row per customer, rule, subject, day and product.
with

signals as (select * from {{ ref('int_customer_signals') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

rule_products as (select * from {{ ref('int_tag_rule_products') }}),

enders as (

    select
        signals.customer_id,
        rules.rule_id,
        signals.sku as subject_sku,
        signals.business_date,
        signals.last_at
    from signals
    inner join rules
        on
            rules.without_purchase_of = 'product'
            and (
                signals.signal = 'purchased'
                or (signals.signal = 'cart_removed' and rules.signal = 'cart_added')
                or (signals.signal = 'favourite_removed' and rules.signal = 'favourite_added')
            )

    union all

    select
        signals.customer_id,
        rule_products.rule_id,
        '' as subject_sku,
        signals.business_date,
        signals.last_at
    from signals
    inner join rule_products on signals.sku = rule_products.sku
    where signals.signal = 'purchased' and rule_products.without_purchase_of = 'subject'

    union all

    select
        signals.customer_id,
        rules.rule_id,
        '' as subject_sku,
        signals.business_date,
        signals.last_at
    from signals
    inner join rules on rules.without_purchase_of = 'any'
    where signals.signal = 'purchased'

    union all

    select
        signals.customer_id,
        rules.rule_id,
        '' as subject_sku,
        signals.business_date,
        signals.last_at
    from signals
    inner join rules
        on rules.rule_kind = 'guide_tag' and {{ is_in_list('signals.subject', 'rules.match_text') }}
    where signals.signal = 'guide_tag_removed'

)

select * from enders
