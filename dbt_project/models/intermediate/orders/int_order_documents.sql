{{ config(materialized='stepwise', shape='replace_keys', key='order_key', keys='touched_order_keys') }}
-- depends_on: {{ ref('int_orders_touched') }}

with

order_lines as (

    select order_lines.*
    from {{ ref('int_order_lines_valued') }} as order_lines
    {{ only_touched_orders('order_lines') }}

),

orders as (

    select orders.*
    from {{ ref('stg_orders') }} as orders
    {{ only_touched_orders('orders') }}

),

rates as (select * from {{ ref('int_reporting_rates') }}),

lines_by_document as (

    select
        channel,
        order_id,
        min(ordered_at) as ordered_at,
        min(business_date) as business_date,
        max(business_date) as last_line_date,
        min(source_customer_id) as source_customer_id,
        min(currency) as first_currency,
        max(currency) as last_currency,
        min(store_id) as store_id,
        min(country_name) as country_name,
        count(*) as line_count,
        sum(case when is_sale then 1 else 0 end) as sale_line_count,
        sum(case when line_kind = 'refund' then 1 else 0 end) as refund_line_count,
        sum(case when line_kind = 'gift' then 1 else 0 end) as gift_line_count,
        sum(case when is_sale and item_class = 'product' then quantity else 0 end) as item_quantity,
        sum(gross_exact_amount) as gross_exact_amount,
        sum(refund_exact_amount) as refund_exact_amount,
        sum(case when line_kind in ('sale', 'refund') then line_amount end) as line_amount,
        sum(case when gross_exact_amount is null then 1 else 0 end) as unconverted_line_count
    from order_lines
    group by channel, order_id

),

-- The header knows the moment, the buyer and the discount best; the lines know what was sold.
-- A header without lines still is a sale; one not paid, cancelled or closed sells nothing.
documents as (

    select
        coalesce(lines_by_document.channel, orders.channel) as channel,
        coalesce(lines_by_document.order_id, orders.order_id) as order_id,
        coalesce(orders.ordered_at, lines_by_document.ordered_at) as ordered_at,
        coalesce(orders.business_date, lines_by_document.business_date) as business_date,
        -- The days of all its records: when one of these changes the document does.
        least(
            coalesce(lines_by_document.business_date, orders.business_date),
            coalesce(orders.business_date, lines_by_document.business_date)
        ) as first_record_date,
        greatest(
            coalesce(lines_by_document.last_line_date, orders.business_date),
            coalesce(orders.business_date, lines_by_document.last_line_date)
        ) as last_record_date,
        coalesce(orders.source_customer_id, lines_by_document.source_customer_id) as source_customer_id,
        case
            when lines_by_document.order_id is null then orders.currency
            when lines_by_document.first_currency = lines_by_document.last_currency
                then lines_by_document.first_currency
        end as currency,
        coalesce(orders.store_id, lines_by_document.store_id) as store_id,
        lines_by_document.country_name,
        orders.payment_method,
        orders.coupon_id is not null as has_coupon,
        orders.order_status,
        coalesce(orders.order_status, 'paid') = 'paid' as is_sold,
        lines_by_document.order_id is not null as has_lines,
        lines_by_document.line_count,
        lines_by_document.sale_line_count,
        lines_by_document.refund_line_count,
        lines_by_document.gift_line_count,
        lines_by_document.item_quantity,
        lines_by_document.gross_exact_amount,
        lines_by_document.refund_exact_amount,
        lines_by_document.unconverted_line_count,
        lines_by_document.line_amount,
        orders.currency as header_currency,
        orders.paid_amount,
        coalesce(orders.shipping_amount, 0) as shipping_amount,
        coalesce(orders.discount_amount, 0) as discount_amount
    from lines_by_document
    full outer join orders
        on
            lines_by_document.channel = orders.channel
            and lines_by_document.order_id = orders.order_id

),

-- Gifts and stock corrections neither sell nor refund: a document of nothing else is an adjustment.
kinds as (

    select
        *,
        case
            when sale_line_count > 0 or (not has_lines and is_sold) then 'sale'
            when refund_line_count > 0 then 'refund'
            else 'adjustment'
        end as document_kind
    from documents

),

-- What was paid is the goods less the discount plus shipping: a header alone tells the goods by it.
header_money as (

    select
        *,
        case when document_kind = 'sale' then paid_amount - shipping_amount + discount_amount else 0 end
            as goods_amount,
        case when document_kind = 'sale' then discount_amount else 0 end as sale_discount_amount,
        case when has_lines and is_sold then line_amount - discount_amount + shipping_amount end as expected_amount
    from kinds

),

converted as (

    select
        header_money.*,
        rates.reporting_rate,
        case
            when not header_money.has_lines
                then {{ in_reporting_currency('goods_amount', 'header_money.currency', 'reporting_rate') }}
            when header_money.unconverted_line_count = 0 then header_money.gross_exact_amount
        end as sold_exact_amount,
        case
            when header_money.sale_discount_amount = 0 then 0
            when header_money.header_currency = header_money.currency
                then {{ in_reporting_currency('sale_discount_amount', 'header_money.currency', 'reporting_rate') }}
        end as taken_off_exact_amount
    from header_money
    left join rates
        on header_money.currency = rates.currency and header_money.business_date = rates.business_date

),

-- Money of which a part is unknown is unknown: a discount in another currency is never taken off.
final as (

    select
        channel,
        order_id,
        ordered_at,
        business_date,
        source_customer_id,
        currency,
        reporting_rate,
        store_id,
        country_name,
        payment_method,
        has_coupon,
        order_status,
        document_kind,
        coalesce(order_status, '') = 'cancelled' as is_cancelled,
        has_lines,
        coalesce(line_count, 0) as line_count,
        coalesce(sale_line_count, 0) as sale_line_count,
        coalesce(refund_line_count, 0) as refund_line_count,
        coalesce(gift_line_count, 0) as gift_line_count,
        coalesce(item_quantity, 0) as item_quantity,
        case when taken_off_exact_amount is not null then sold_exact_amount end as gross_exact_amount,
        case when sold_exact_amount is not null then taken_off_exact_amount end as discount_exact_amount,
        case
            when sold_exact_amount is not null and taken_off_exact_amount is not null
                then coalesce(refund_exact_amount, 0)
        end as line_refund_exact_amount,
        header_currency,
        paid_amount,
        expected_amount,
        {{ order_key() }} as order_key,
        first_record_date,
        last_record_date
    from converted

)

select * from final
