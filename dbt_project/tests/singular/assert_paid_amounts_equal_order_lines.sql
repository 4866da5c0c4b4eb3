{{ config(severity='warn') }}

-- Header and lines of an order tell the same money. Publishing goes on: which of them is wrong only the channel knows.
with

order_differences as (select * from {{ ref('order_differences') }})

select * from order_differences
