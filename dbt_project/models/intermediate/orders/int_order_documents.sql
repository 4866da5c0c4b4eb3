with

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

orders as (select * from {{ ref('stg_orders') }}),

rates as (select * from {{ ref('int_reporting_rates') }}),

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
-- A header without lines still is a sale, of what was paid; one not paid, cancelled or closed sells nothing.
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
        coalesce(orders.order_status, 'paid') = 'paid' as is_sold,
        lines_by_document.order_id is not null as has_lines,
        lines_by_document.line_count,
        lines_by_document.sale_line_count,
        lines_by_document.refund_line_count,
        lines_by_document.item_quantity,
        lines_by_document.gross_exact_amount,
        lines_by_document.refund_exact_amount,
        lines_by_document.unconverted_line_count,
        case when orders.order_status = 'paid' then orders.paid_amount else 0 end as header_amount
    from lines_by_document
    full outer join orders
        on
            lines_by_document.channel = orders.channel
            and lines_by_document.order_id = orders.order_id

),

-- Gifts and stock corrections neither sell nor refund: a document of nothing else is an adjustment.
kinds as (

    select
        documents.channel,
        documents.order_id,
        documents.ordered_at,
        documents.business_date,
        documents.source_customer_id,
        documents.currency,
        rates.reporting_rate,
        documents.store_id,
        documents.country_name,
        documents.payment_method,
        documents.order_status,
        coalesce(documents.order_status, '') = 'cancelled' as is_cancelled,
        documents.has_lines,
        coalesce(documents.line_count, 0) as line_count,
        coalesce(documents.sale_line_count, 0) as sale_line_count,
        coalesce(documents.refund_line_count, 0) as refund_line_count,
        coalesce(documents.item_quantity, 0) as item_quantity,
        case
            when not documents.has_lines
                then {{ in_reporting_currency('header_amount', 'documents.currency', 'reporting_rate') }}
            when documents.unconverted_line_count = 0 then documents.gross_exact_amount
        end as gross_exact_amount,
        case
            when not documents.has_lines
                then {{ in_reporting_currency('0', 'documents.currency', 'reporting_rate') }}
            when documents.unconverted_line_count = 0 then documents.refund_exact_amount
        end as line_refund_exact_amount,
        case
            when documents.sale_line_count > 0 or (not documents.has_lines and documents.is_sold) then 'sale'
            when documents.refund_line_count > 0 then 'refund'
            else 'adjustment'
        end as document_kind
    from documents
    left join rates
        on documents.currency = rates.currency and documents.business_date = rates.business_date

)

select * from kinds
