{{ config(materialized='view') }}

-- A view on purpose: the rows are stored once, in staging, and copied once, at publishing.
with

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

final as (

    select
        order_line_id,
        channel,
        order_id,
        line_number,
        source_customer_id,
        ordered_at,
        business_date,
        sku,
        line_kind,
        item_class,
        quantity,
        unit_price_amount,
        line_amount,
        currency,
        gross_exact_amount,
        refund_exact_amount,
        net_exact_amount,
        country_name,
        store_id
    from order_lines

)

select * from final
