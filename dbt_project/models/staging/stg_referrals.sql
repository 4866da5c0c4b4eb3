{{ config(materialized='view') }}

with

current_referrals as (

    {{ current_records('referrals', event_at='invited_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        referral_id,
        source_customer_id,
        invitee_customer_id,
        invited_at,
        {{ to_business_date('invited_at') }} as business_date,
        joined_at,
        campaign_name
    from current_referrals

)

select * from final
