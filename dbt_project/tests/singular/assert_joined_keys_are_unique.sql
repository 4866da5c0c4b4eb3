-- One row per key in what the money of accounts and customers is summed and joined from.
with

shared_keys as (

    {{ rows_sharing_a_key({
        'int_account_days': ['channel', 'source_customer_id', 'business_date'],
        'int_customer_days': ['customer_id', 'business_date'],
        'int_customer_products': ['customer_id', 'sku'],
        'int_customer_behaviour_days': ['customer_id', 'business_date'],
        'int_customer_ranges': ['cutoff_date', 'customer_id'],
        'int_customer_orders': ['customer_id'],
        'int_customers_tiered': ['customer_id'],
        'int_customer_favourites': ['customer_id'],
        'int_official_tiers_latest': ['customer_id'],
    }) }}

)

select * from shared_keys
