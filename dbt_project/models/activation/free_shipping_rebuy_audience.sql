with

purchases as (

    select *
    from {{ ref('int_purchase_starts') }}
    where is_kept and {{ is_still_kept('business_date', 'free_shipping_rebuy') }}

),

first_recommendations as (

    select
        customer_id,
        product_name
    from {{ ref('recommendations') }}
    where recommendation_rank = 1

),

final as (

    select
        purchases.customer_id,
        cast(purchases.business_date as varchar) as occurrence,
        purchases.ordered_at as triggered_at,
        'marketing' as purpose,
        purchases.next_ordered_at as converted_at,
        cast(
            case
                when purchases.purchase_day_number <= {{ journey_window('free_shipping_rebuy', 'few_order_count') }}
                    then {{ journey_window('free_shipping_rebuy', 'few_order_weight_pct') }} / 100.0
                else 1
            end as double
        ) as value_weight,
        cast(purchases.purchase_day_number as integer) as order_count,
        purchases.channel,
        purchases.order_id,
        first_recommendations.product_name as recommended_name
    from purchases
    left join first_recommendations on purchases.customer_id = first_recommendations.customer_id

)

select * from final
