with

customers as (select * from {{ ref('int_customer_orders') }}),

tiered as (select * from {{ ref('int_customers_lifted') }}),

official_tiers as (select * from {{ ref('int_official_tiers_latest') }}),

final as (

    select
        customers.customer_id,
        {{ as_of() }} as as_of_date,
        tiered.rfm_tier,
        official_tiers.rfm_tier as official_rfm_tier,
        official_tiers.as_of_date as official_as_of_date,
        customers.days_since_last_order,
        customers.order_count_in_window,
        tiered.spend_amount_in_window,
        tiered.spend_percentile,
        customers.order_count,
        {{ half_even('customers.net_exact_amount') }} as spend_amount,
        '{{ setting("reporting_currency") }}' as currency,
        '{{ setting("ladder") }}' as ladder,
        tiered.tier_rule_id,
        tiered.spend_basis,
        tiered.comparison_base,
        customers.first_seen_date,
        customers.first_order_date,
        customers.last_order_date
    from customers
    left join tiered on customers.customer_id = tiered.customer_id
    left join official_tiers on customers.customer_id = official_tiers.customer_id

)

select * from final
