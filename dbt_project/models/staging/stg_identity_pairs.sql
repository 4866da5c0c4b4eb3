{{ config(materialized='view') }}

with

current_identity_pairs as (

    {{ current_records('identity_pairs', event_at='reviewed_at') }}

),

final as (

    select
        channel as feed_channel,
        pair_id,
        left_channel,
        left_customer_id,
        right_channel,
        right_customer_id,
        verdict,
        reviewer_id,
        reviewed_at,
        {{ to_business_date('reviewed_at') }} as business_date
    from current_identity_pairs

)

select * from final
