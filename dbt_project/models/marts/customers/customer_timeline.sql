{{ config(materialized='view') }}

-- A view on purpose: the rows are stored once, by day, and copied once, at publishing. The customer is not here but
-- in source_customers, so that a merge or a split moves every touch without rewriting one.
with

touches as (

    select * from {{ ref('int_account_touches') }}
    union all
    select * from {{ ref('int_event_touches') }}
    union all
    select * from {{ ref('int_linked_touches') }}

),

final as (

    select
        touch_id,
        channel,
        source_customer_id,
        occurred_at,
        business_date,
        touch_kind,
        entity,
        feed_channel,
        reference_id,
        sku,
        cast(touch_count as bigint) as touch_count,
        amount,
        currency,
        label
    from touches

)

select * from final
