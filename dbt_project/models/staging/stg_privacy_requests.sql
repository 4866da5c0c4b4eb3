{{ config(materialized='view') }}

with

current_privacy_requests as (

    {{ current_records('privacy_requests', event_at='requested_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        request_id,
        source_customer_id,
        request_kind,
        requested_at,
        {{ to_business_date('requested_at') }} as business_date,
        request_status
    from current_privacy_requests

)

select * from final
