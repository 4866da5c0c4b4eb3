-- What may have driven a customer away, with the order it belongs to: the one it names, else the last one by that day,
-- whatever the customer did next. `fact_size` is what its words tell: days late, stars, per cent. One row per customer,
-- cause, order day and day.
with

source_customers as (select * from {{ ref('source_customers') }}),

customer_days as (select * from {{ ref('int_customer_days') }}),

orders as (select * from {{ ref('int_orders_refunded') }}),

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

shipments as (select * from {{ ref('stg_shipments') }}),

tickets as (select * from {{ ref('stg_tickets') }}),

texts as (select * from {{ ref('int_text_intents') }}),

product_days as (select * from {{ ref('fct_product_days') }}),

stock_levels as (select * from {{ ref('stg_stock_levels') }}),

reviews as (select * from {{ ref('stg_reviews') }}),

refunds as (select * from {{ ref('int_refunds_linked') }}),

-- The day after the promised one, when it had not come: known then, not only once it has arrived.
late_parcels as (

    select
        orders.channel,
        orders.source_customer_id,
        'late_delivery' as cause,
        orders.business_date as order_date,
        {{ add_days(to_business_date('shipments.promised_at'), 1) }} as happened_on,
        {{ days_between(
            to_business_date('shipments.promised_at'),
            'coalesce(' ~ to_business_date('shipments.delivered_at') ~ ', ' ~ as_of() ~ ')'
        ) }} as fact_size
    from shipments
    inner join orders
        on
            shipments.channel = orders.channel
            and shipments.order_id = orders.order_id
    where shipments.promised_at is not null

),

complaints as (

    select
        tickets.channel,
        tickets.source_customer_id,
        'complaint' as cause,
        orders.business_date as order_date,
        tickets.business_date as happened_on,
        count(*) as fact_size
    from tickets
    left join orders
        on
            tickets.channel = orders.channel
            and tickets.order_id = orders.order_id
    where tickets.ticket_kind = 'complaint'
    group by tickets.channel, tickets.source_customer_id, orders.business_date, tickets.business_date

),

-- The newest count of a day in each place. Places are counted on different days: what one of them tells of its day
-- says nothing about the others, so each count is told as what it changed.
counted_places as (

    select
        channel,
        sku,
        location_id,
        business_date,
        greatest(quantity_on_hand, 0) as quantity_on_hand,
        row_number() over (
            partition by channel, sku, location_id, business_date order by counted_at desc
        ) as count_place
    from stock_levels
    where quantity_on_hand is not null

),

place_changes as (

    select
        sku,
        business_date,
        quantity_on_hand - coalesce(
            lag(quantity_on_hand) over (partition by channel, sku, location_id order by business_date), 0
        ) as change_quantity
    from counted_places
    where count_place = 1

),

stock_changes as (

    select
        sku,
        business_date,
        sum(change_quantity) as change_quantity
    from place_changes
    group by sku, business_date

),

-- A count holds until the next one of its place.
stock_spans as (

    select
        sku,
        business_date as from_date,
        lead(business_date) over (partition by sku order by business_date) as until_date,
        sum(change_quantity) over (partition by sku order by business_date) as quantity_on_hand
    from stock_changes

),

-- The ERP counts under its own numbers; a product listed with one is looked up by it.
erp_skus as (

    select
        sku,
        max(erp_sku) as erp_sku
    from {{ ref('stg_products') }}
    group by sku

),

misses as (

    select
        product_days.channel,
        product_days.source_customer_id,
        product_days.business_date
    from product_days
    left join erp_skus on product_days.sku = erp_skus.sku
    inner join stock_spans
        on
            coalesce(erp_skus.erp_sku, product_days.sku) = stock_spans.sku
            and product_days.business_date >= stock_spans.from_date
            and product_days.business_date < coalesce(stock_spans.until_date, {{ as_of_plus(1) }})
    where stock_spans.quantity_on_hand <= 0

    union all

    select
        channel,
        source_customer_id,
        business_date
    from texts
    where intent = 'out_of_stock'

),

stock_outs as (

    select
        channel,
        source_customer_id,
        'stock_out' as cause,
        cast(null as date) as order_date,
        business_date as happened_on,
        count(*) as fact_size
    from misses
    group by channel, source_customer_id, business_date

),

sold as (

    select
        channel,
        order_id,
        sku,
        business_date,
        gross_exact_amount,
        quantity
    from order_lines
    where is_sale and item_class = 'product' and quantity > 0 and gross_exact_amount > 0

),

sold_prices as (

    select
        sku,
        business_date,
        min(gross_exact_amount / quantity) as unit_price_amount
    from sold
    group by sku, business_date

),

-- The first day within the window on which nobody got it for less than a tenth above what the customer had paid.
dearer as (

    select
        orders.channel,
        orders.source_customer_id,
        orders.business_date as order_date,
        sold_prices.business_date as happened_on,
        100 * (sold_prices.unit_price_amount * sold.quantity / sold.gross_exact_amount - 1) as fact_size,
        row_number() over (
            partition by orders.channel, orders.order_id, sold.sku, sold.gross_exact_amount, sold.quantity
            order by sold_prices.business_date
        ) as place
    from sold
    inner join orders
        on
            sold.channel = orders.channel
            and sold.order_id = orders.order_id
    -- Day by day: a range of days alone would pair every line with two years of prices.
    cross join {{ whole_numbers(1, var('cause_window_days')) }}
    inner join sold_prices
        on
            sold.sku = sold_prices.sku
            and sold_prices.business_date = {{ add_days('sold.business_date', 'whole_numbers.number') }}
            and 100 * sold.gross_exact_amount / sold.quantity * (1 + {{ var('price_rise_pct') }} / 100.0)
            <= 100 * sold_prices.unit_price_amount

),

price_rises as (

    select
        channel,
        source_customer_id,
        'price' as cause,
        order_date,
        happened_on,
        max(fact_size) as fact_size
    from dearer
    where place = 1
    group by channel, source_customer_id, order_date, happened_on

),

low_ratings as (

    select
        reviews.channel,
        reviews.source_customer_id,
        'low_rating' as cause,
        orders.business_date as order_date,
        reviews.business_date as happened_on,
        min(reviews.rating) as fact_size
    from reviews
    left join orders
        on
            reviews.channel = orders.channel
            and reviews.order_id = orders.order_id
    where reviews.rating <= {{ var('low_rating_until') }}
    group by reviews.channel, reviews.source_customer_id, orders.business_date, reviews.business_date

),

paid_back as (

    select
        orders.channel,
        orders.source_customer_id,
        'refund' as cause,
        orders.business_date as order_date,
        refunds.business_date as happened_on,
        count(*) as fact_size
    from refunds
    inner join orders
        on
            refunds.channel = orders.channel
            and refunds.order_id = orders.order_id
    where refunds.refund_state in ('counted', 'capped')
    group by orders.channel, orders.source_customer_id, orders.business_date, refunds.business_date

),

met as (

    select * from late_parcels
    where fact_size > 0
    union all
    select * from complaints
    union all
    select * from stock_outs
    union all
    select * from price_rises
    union all
    select * from low_ratings
    union all
    select * from paid_back

),

owned as (

    select
        source_customers.customer_id,
        met.cause,
        met.order_date,
        met.happened_on,
        met.fact_size
    from met
    inner join source_customers
        on
            met.channel = source_customers.channel
            and met.source_customer_id = source_customers.source_customer_id
    where met.happened_on <= {{ as_of() }}

),

linked as (

    select
        owned.customer_id,
        owned.cause,
        owned.happened_on,
        owned.fact_size,
        coalesce(owned.order_date, max(customer_days.business_date)) as order_date
    from owned
    left join customer_days
        on
            owned.customer_id = customer_days.customer_id
            and customer_days.purchase_day_number is not null
            and owned.happened_on >= customer_days.business_date
            and owned.order_date is null
    group by owned.customer_id, owned.cause, owned.order_date, owned.happened_on, owned.fact_size

),

final as (

    select
        customer_id,
        cause,
        order_date,
        happened_on,
        cast(
            floor(
                case
                    when cause in ('late_delivery', 'price') then max(fact_size)
                    when cause = 'low_rating' then min(fact_size)
                    else sum(fact_size)
                end
            ) as integer
        ) as fact_size
    from linked
    where happened_on <= {{ add_days('order_date', var('cause_window_days')) }}
    group by customer_id, cause, order_date, happened_on

)

select * from final
