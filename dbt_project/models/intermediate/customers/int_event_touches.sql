{{ config(materialized='stepwise', shape='replace_days', touched_by=['events']) }}

-- Pages and products seen and what is done in live rooms are one row per account, day and kind: nobody reads those
-- one by one, and they are most of all events. What somebody does with a product (cart, favourite, share …) keeps
-- a row of its own.
with

events as (select * from {{ ref('stg_events') }}),

bundled as (

    select
        channel,
        source_customer_id,
        business_date,
        event_type,
        case when {{ is_deed('event_type') }} then event_id end as event_id,
        min(occurred_at) as occurred_at,
        min(case when {{ is_deed('event_type') }} then sku end) as sku,
        min(case when {{ is_deed('event_type') }} then quantity * unit_price_amount end) as amount,
        min(case when {{ is_deed('event_type') }} then currency end) as currency,
        count(*) as touch_count
    from events
    where source_customer_id is not null and {{ is_touched('occurred_at') }}
    group by
        channel,
        source_customer_id,
        business_date,
        event_type,
        case when {{ is_deed('event_type') }} then event_id end

),

touches as (

    {{ touch_rows(
        'bundled', 'events', 'event_type',
        "coalesce(event_id, concat_ws('|', source_customer_id, cast(business_date as varchar)))", 'occurred_at',
        feed_channel='channel', reference_id='event_id', sku='sku', touch_count='touch_count', amount='amount'
    ) }}

)

select * from touches
