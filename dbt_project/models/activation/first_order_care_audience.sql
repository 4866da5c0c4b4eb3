with

first_purchases as (

    select *
    from {{ ref('int_purchase_starts') }}
    where purchase_day_number = 1 and is_kept and {{ is_still_kept('business_date', 'first_order_care') }}

),

customers as (select * from {{ ref('dim_customers') }}),

products as (select * from {{ ref('dim_products') }}),

-- What goes with a purchase; best sellers that fill the list do not.
pairings as (

    select
        customer_id,
        product_name,
        row_number() over (partition by customer_id order by recommendation_rank) as pairing_place
    from {{ ref('recommendations') }}
    where reason_code in ('bought_together', 'follows')

),

final as (

    select
        first_purchases.customer_id,
        cast(first_purchases.business_date as varchar) as occurrence,
        first_purchases.ordered_at as triggered_at,
        'marketing' as purpose,
        first_purchases.next_ordered_at as converted_at,
        first_purchases.channel,
        first_purchases.order_id,
        products.category_name,
        pairings.product_name as pairing_name,
        customers.guide_id as advisor_code
    from first_purchases
    inner join customers on first_purchases.customer_id = customers.customer_id
    left join products on first_purchases.main_sku = products.sku
    left join pairings on first_purchases.customer_id = pairings.customer_id and pairings.pairing_place = 1

)

select * from final
