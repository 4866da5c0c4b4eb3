{{ config(materialized='view') }}

with

current_marketing_spend as (

    {{ current_records('marketing_spend') }}

),

final as (

    select
        channel,
        ad_platform,
        campaign_id,
        campaign_name,
        spent_on as business_date,
        promoted_channel,
        spend_amount,
        currency,
        impression_count,
        click_count
    from current_marketing_spend
    where spent_on <= {{ as_of() }}

)

select * from final
