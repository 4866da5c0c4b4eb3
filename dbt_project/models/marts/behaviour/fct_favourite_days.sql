{{ config(materialized='stepwise', shape='replace_days', touched_by=['events']) }}

{{ added_and_removed('favourite_added', 'favourite_removed') }}

select
    channel,
    source_customer_id,
    device_id,
    business_date,
    sku,
    added_count,
    removed_count,
    last_added_at,
    last_removed_at
from final
