{{ config(materialized='view') }}

-- Rule kind consecutive_events: `min_count` browses of one category, no browse of another between them. A browse is
-- the first look of a day at a product; browses follow each other by that moment. One row per customer, rule and
-- browse at which it holds.
with

signals as (select * from {{ ref('int_customer_signals') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

products as (select * from {{ ref('dim_products') }}),

browse_signals as (

    select distinct signal
    from rules
    where rule_kind = 'consecutive_events'

),

browses as (

    select
        signals.customer_id,
        signals.signal,
        signals.business_date,
        signals.sku,
        signals.first_at,
        signals.last_at,
        coalesce(products.category_name, '') as category_name
    from signals
    left join products on signals.sku = products.sku
    inner join browse_signals on signals.signal = browse_signals.signal

),

-- Within a run the place among all browses and the place among those of the category grow alike.
numbered as (

    select
        *,
        row_number() over (partition by customer_id, signal order by first_at, sku)
        - row_number() over (partition by customer_id, signal, category_name order by first_at, sku) as run_key
    from browses

),

placed as (

    select
        numbered.customer_id,
        rules.rule_id,
        '' as subject_sku,
        numbered.run_key,
        numbered.business_date,
        numbered.first_at,
        numbered.last_at,
        cast(null as varchar) as detail,
        row_number() over (
            partition by numbered.customer_id, rules.rule_id, numbered.run_key
            order by numbered.first_at, numbered.sku
        ) as place
    from numbered
    inner join rules
        on
            numbered.category_name = rules.category_name
            and numbered.signal = rules.signal
            and rules.rule_kind = 'consecutive_events'

),

reached as (

    {{ places_reached('placed', 'rules') }}

)

select * from reached
