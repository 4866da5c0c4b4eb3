with

customers as (select * from {{ ref('dim_customers') }}),

orders as (select * from {{ ref('int_customer_orders') }}),

tiers as (select * from {{ ref('rfm_tiers') }}),

favourites as (select * from {{ ref('int_customer_favourites') }}),

churn as (select * from {{ ref('churn_scores') }}),

clv as (select * from {{ ref('clv_scores') }}),

consents as (

    select
        customer_id,
        count(distinct case when is_usable and purpose = 'marketing' then consent_channel end)
            as marketing_channel_count,
        max(case when is_usable and purpose = 'marketing' and consent_channel = 'email' then 1 else 0 end) = 1
            as has_email_consent,
        max(case when is_usable and purpose = 'marketing' and consent_channel = 'sms' then 1 else 0 end) = 1
            as has_sms_consent
    from {{ ref('consent_states') }}
    group by customer_id

),

final as (

    select
        customers.customer_id,
        {{ as_of() }} as as_of_date,
        customers.account_count,
        customers.channel_count,
        customers.first_seen_date,
        customers.last_seen_date,
        customers.gender,
        customers.birth_year,
        customers.city_name,
        customers.country_name,
        orders.order_count,
        orders.first_order_date,
        orders.last_order_date,
        orders.days_since_last_order,
        orders.order_count_in_window,
        tiers.currency,
        {{ half_even('orders.gross_exact_amount') }} as gross_amount,
        {{ half_even('orders.discount_exact_amount') }} as discount_amount,
        {{ half_even('orders.refund_exact_amount') }} as refund_amount,
        tiers.spend_amount,
        tiers.spend_amount_in_window,
        {{ ratio(
            '100 * orders.refund_exact_amount', '(orders.gross_exact_amount - orders.discount_exact_amount)'
        ) }} as refund_share_pct,
        {{ ratio('(orders.gross_exact_amount - orders.discount_exact_amount)', 'orders.order_count') }}
            as average_order_amount,
        {{ ratio('orders.sale_line_count', 'orders.order_count') }} as average_lines_per_order,
        {{ ratio('orders.item_quantity', 'orders.order_count') }} as average_items_per_order,
        case
            when orders.purchase_day_count > 1
                then {{ ratio(
                    days_between('orders.first_order_date', 'orders.last_order_date'),
                    '(orders.purchase_day_count - 1)'
                ) }}
        end as average_days_between_orders,
        orders.product_count,
        orders.unconverted_order_count,
        favourites.top_sku,
        favourites.top_category_name,
        favourites.preferred_hour,
        favourites.preferred_channel,
        tiers.rfm_tier,
        tiers.official_rfm_tier,
        -- Owned by the membership models, which are not here yet.
        cast(null as varchar) as member_level,
        churn.churn_probability,
        clv.predicted_clv,
        coalesce(consents.has_email_consent, false) as has_email_consent,
        coalesce(consents.has_sms_consent, false) as has_sms_consent,
        cast(coalesce(consents.marketing_channel_count, 0) as integer) as marketing_channel_count
    from customers
    left join orders on customers.customer_id = orders.customer_id
    left join tiers on customers.customer_id = tiers.customer_id
    left join favourites on customers.customer_id = favourites.customer_id
    left join churn on customers.customer_id = churn.customer_id
    left join clv on customers.customer_id = clv.customer_id
    left join consents on customers.customer_id = consents.customer_id

)

select * from final
