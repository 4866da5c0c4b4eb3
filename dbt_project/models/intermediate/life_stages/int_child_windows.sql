-- When a child of the customer may have been born, by one purchase each. The purchase dates it for good, so a child
-- ages by itself. One row per customer, day and piece of evidence.
with

signals as (select * from {{ ref('int_customer_signals') }}),

products as (select * from {{ ref('dim_products') }}),

evidence as (select * from {{ ref('life_stage_evidence') }}),

evidence_products as (

    select
        evidence.evidence_id,
        evidence.months_from,
        evidence.months_to,
        products.sku
    from evidence
    inner join products
        on
            (evidence.category_name is null or {{ is_in_list('products.category_name', 'evidence.category_name') }})
            and {{ matches_pattern('lower(products.product_name)', 'lower(evidence.product_words)') }}

),

final as (

    select distinct
        signals.customer_id,
        signals.business_date as bought_date,
        evidence_products.evidence_id,
        {{ add_months('signals.business_date', '-evidence_products.months_to') }} as born_from_date,
        {{ add_months('signals.business_date', '-evidence_products.months_from') }} as born_to_date
    from signals
    inner join evidence_products on signals.sku = evidence_products.sku
    where signals.signal = 'purchased'

)

select * from final
