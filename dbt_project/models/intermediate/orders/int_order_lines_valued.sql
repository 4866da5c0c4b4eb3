{{ config(materialized='view') }}

with

order_lines as (select * from {{ ref('stg_order_lines') }}),

rates as (select * from {{ ref('int_reporting_rates') }}),

unsold_orders as (

    select
        channel,
        order_id
    from {{ ref('stg_orders') }}
    where order_status <> 'paid'

),

-- An order not paid, cancelled or closed sells nothing: its lines stay visible, their value does not count.
valued as (

    select
        order_lines.*,
        order_lines.line_kind = 'sale' and unsold_orders.order_id is null as is_sale,
        {{ in_reporting_currency('order_lines.line_amount', 'order_lines.currency', 'rates.reporting_rate') }}
            as reporting_amount
    from order_lines
    left join unsold_orders
        on
            order_lines.channel = unsold_orders.channel
            and order_lines.order_id = unsold_orders.order_id
    left join rates
        on
            order_lines.currency = rates.currency
            and order_lines.business_date = rates.business_date

),

-- Without a reporting amount each of the three is null: a plain `else 0` would turn unknown money into none.
split_by_kind as (

    select
        *,
        {{ amount_when('is_sale', 'reporting_amount') }} as gross_exact_amount,
        {{ amount_when("line_kind = 'refund'", '-reporting_amount') }} as refund_exact_amount,
        {{ amount_when("is_sale or line_kind = 'refund'", 'reporting_amount') }} as net_exact_amount
    from valued

)

select * from split_by_kind
