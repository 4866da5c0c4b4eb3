{{ config(materialized='stepwise', shape='whole', schema='staging', contract={'enforced': false}) }}
-- depends_on: {{ ref('stg_record_ids') }}, {{ ref('stg_repeated_records') }}, {{ ref('stg_part_days') }}
-- depends_on: {{ ref('stg_repeats') }}, {{ ref('stg_touched_days') }}, {{ ref('feed_balance') }}
-- depends_on: {{ ref('stg_order_lines') }}, {{ ref('stg_orders') }}, {{ ref('stg_refunds') }}
-- depends_on: {{ ref('fct_sessions') }}, {{ ref('fct_events_daily') }}, {{ ref('fct_cart_days') }}
-- depends_on: {{ ref('fct_favourite_days') }}, {{ ref('fct_live_days') }}, {{ ref('fct_community_days') }}
-- depends_on: {{ ref('int_account_touches') }}, {{ ref('int_event_touches') }}, {{ ref('int_linked_touches') }}
-- depends_on: {{ ref('int_orders_touched') }}, {{ ref('int_order_documents') }}, {{ ref('fct_product_days') }}

-- Written when every stepped table is done: from here on these parts count as staged.
{{ check_chain_is_complete() }}
with

final as (

    select
        part_number,
        entity,
        feed,
        file_sha256,
        contract_hash,
        inbox_seq
    from {{ ref('stg_parts') }}
    where is_active

)

select * from final
