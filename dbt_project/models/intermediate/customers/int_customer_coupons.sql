-- Coupons given to a customer and what became of them. One row per customer who was given one.
with

source_customers as (select * from {{ ref('source_customers') }}),

accounts as (

    select
        channel,
        source_customer_id,
        {{ count_when("action = 'issued'") }} as issued_count,
        {{ count_when("action = 'redeemed'") }} as redeemed_count,
        {{ count_when("action = 'expired'") }} as expired_count,
        max(case when action = 'redeemed' then business_date end) as last_redeemed_date
    from {{ ref('stg_coupon_events') }}
    where source_customer_id is not null
    group by channel, source_customer_id

),

final as (

    select
        source_customers.customer_id,
        cast(sum(accounts.issued_count) as bigint) as coupon_issued_count,
        cast(sum(accounts.redeemed_count) as bigint) as coupon_redeemed_count,
        cast(sum(accounts.expired_count) as bigint) as coupon_expired_count,
        {{ ratio('100 * sum(accounts.redeemed_count)', 'sum(accounts.issued_count)') }} as coupon_redemption_rate_pct,
        max(accounts.last_redeemed_date) as last_coupon_redeemed_date
    from accounts
    inner join source_customers
        on
            accounts.channel = source_customers.channel
            and accounts.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

)

select * from final
