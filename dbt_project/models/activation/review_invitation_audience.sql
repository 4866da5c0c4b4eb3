with

source_customers as (select * from {{ ref('source_customers') }}),

products as (select * from {{ ref('dim_products') }}),

orders as (

    select *
    from {{ ref('int_paid_orders') }}
    where not is_given_back

),

shipments as (select * from {{ ref('stg_shipments') }}),

reviews as (

    select
        source_customers.customer_id,
        reviews.*
    from {{ ref('stg_reviews') }} as reviews
    inner join source_customers
        on
            reviews.channel = source_customers.channel
            and reviews.source_customer_id = source_customers.source_customer_id

),

-- Asked when the last parcel has come; an order with a lost one has other troubles.
deliveries as (

    select
        channel,
        order_id,
        max(delivered_at) as delivered_at
    from shipments
    group by channel, order_id
    having count(*) = count(case when shipment_status = 'delivered' then delivered_at end)

),

candidates as (

    select
        orders.*,
        deliveries.delivered_at as triggered_at,
        concat(orders.channel, ' ', orders.order_id) as occurrence
    from orders
    inner join deliveries
        on
            orders.channel = deliveries.channel
            and orders.order_id = deliveries.order_id
    where
        deliveries.delivered_at < {{ as_of_end_at() }}
        and {{ is_still_kept(to_business_date('deliveries.delivered_at'), 'review_invitation') }}

),

-- About the order itself, or about its product where the channel does not name the order.
answers as (

    select
        candidates.customer_id,
        candidates.occurrence,
        min(reviews.reviewed_at) as reviewed_at
    from candidates
    inner join reviews
        on
            candidates.customer_id = reviews.customer_id
            and (
                (candidates.channel = reviews.channel and candidates.order_id = reviews.order_id)
                or (
                    reviews.order_id is null
                    and candidates.main_sku = reviews.sku
                    and candidates.ordered_at <= reviews.reviewed_at
                )
            )
    group by candidates.customer_id, candidates.occurrence

),

final as (

    select
        candidates.customer_id,
        candidates.occurrence,
        candidates.triggered_at,
        'marketing' as purpose,
        answers.reviewed_at as converted_at,
        candidates.channel,
        candidates.order_id,
        products.product_name
    from candidates
    left join products on candidates.main_sku = products.sku
    left join answers
        on
            candidates.customer_id = answers.customer_id
            and candidates.occurrence = answers.occurrence
    where answers.reviewed_at is null or answers.reviewed_at >= candidates.triggered_at

)

select * from final
