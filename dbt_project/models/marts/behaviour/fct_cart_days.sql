{{ config(materialized='stepwise', shape='replace_days', touched_by=['events']) }}

{{ added_and_removed('cart_added', 'cart_removed') }}

select * from final
