with

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

orders as (select * from {{ ref('stg_orders') }}),

lines_by_document as (

    select
        channel,
        order_id,
        min(ordered_at) as ordered_at,
        min(business_date) as business_date,
        min(source_customer_id) as source_customer_id,
        min(currency) as first_currency,
        max(currency) as last_currency,
        min(store_id) as store_id,
        min(country_name) as country_name,
        count(*) as line_count,
        sum(case when is_sale then 1 else 0 end) as sale_line_count,
        sum(case when line_kind = 'refund' then 1 else 0 end) as refund_line_count,
        sum(case when is_sale and item_class = 'product' then quantity else 0 end) as item_quantity,
        sum(gross_exact_amount) as gross_exact_amount,
        sum(refund_exact_amount) as refund_exact_amount,
        sum(case when gross_exact_amount is null then 1 else 0 end) as unconverted_line_count
    from order_lines
    group by channel, order_id

),

-- The header knows the moment and the buyer best; the lines know what was sold.
-- A header without lines still is a sale, of what was paid.
documents as (

    select
        coalesce(lines_by_document.channel, orders.channel) as channel,
        coalesce(lines_by_document.order_id, orders.order_id) as order_id,
        coalesce(orders.ordered_at, lines_by_document.ordered_at) as ordered_at,
        coalesce(orders.business_date, lines_by_document.business_date) as business_date,
        coalesce(orders.source_customer_id, lines_by_document.source_customer_id) as source_customer_id,
        case
            when lines_by_document.order_id is null then orders.currency
            when lines_by_document.first_currency = lines_by_document.last_currency
                then lines_by_document.first_currency
        end as currency,
        coalesce(orders.store_id, lines_by_document.store_id) as store_id,
        lines_by_document.country_name,
        orders.payment_method,
        orders.order_status,
        coalesce(orders.order_status, '') = 'cancelled' as is_cancelled,
        lines_by_document.order_id is not null as has_lines,
        coalesce(lines_by_document.line_count, 0) as line_count,
        coalesce(lines_by_document.sale_line_count, 0) as sale_line_count,
        coalesce(lines_by_document.refund_line_count, 0) as refund_line_count,
        coalesce(lines_by_document.item_quantity, 0) as item_quantity,
        case
            when lines_by_document.order_id is null
                then case
                    when orders.order_status = 'cancelled'
                        then {{ in_reporting_currency('0', 'orders.currency') }}
                    else {{ in_reporting_currency('orders.paid_amount', 'orders.currency') }}
                end
            when lines_by_document.unconverted_line_count = 0 then lines_by_document.gross_exact_amount
        end as gross_exact_amount,
        case
            when lines_by_document.order_id is null
                then {{ in_reporting_currency('0', 'orders.currency') }}
            when lines_by_document.unconverted_line_count = 0 then lines_by_document.refund_exact_amount
        end as line_refund_exact_amount
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
            when sale_line_count > 0 or (not has_lines and not is_cancelled) then 'sale'
            when refund_line_count > 0 then 'refund'
            else 'adjustment'
        end as document_kind
    from documents

)

select * from kinds
