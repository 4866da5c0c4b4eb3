{{ config(materialized='view') }}

with

current_contact_tags as (

    {{ current_records('contact_tags', event_at='occurred_at') }}

),

final as (

    select
        channel,
        source_customer_id,
        tag_name,
        tag_group,
        action,
        occurred_at,
        {{ to_business_date('occurred_at') }} as business_date,
        guide_id
    from current_contact_tags

)

select * from final
