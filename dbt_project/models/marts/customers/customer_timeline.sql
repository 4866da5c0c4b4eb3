{{ config(materialized='view') }}

-- A view on purpose: the rows are stored once, by day and account, and copied once, at publishing. The customer is
-- joined here and nowhere before, so that a merge or a split moves every touch without rewriting one.
with

touches as (select * from {{ ref('int_touches') }}),

source_customers as (select * from {{ ref('source_customers') }}),

final as (

    select
        source_customers.customer_id,
        touches.touch_id,
        touches.channel,
        touches.source_customer_id,
        touches.occurred_at,
        touches.business_date,
        touches.touch_kind,
        touches.entity,
        touches.feed_channel,
        touches.reference_id,
        touches.sku,
        cast(touches.touch_count as bigint) as touch_count,
        touches.amount,
        touches.currency,
        touches.label
    from touches
    left join source_customers
        on
            touches.channel = source_customers.channel
            and touches.source_customer_id = source_customers.source_customer_id

)

select * from final
