{{ config(materialized='view') }}

with

documents as (select * from {{ ref('int_order_documents') }}),

linked_refunds as (

    select
        channel,
        order_id,
        sum(refund_exact_amount) as refund_exact_amount,
        count(*) as refund_count
    from {{ ref('int_refunds_linked') }}
    where refund_state in ('counted', 'capped')
    group by channel, order_id

),

refunded as (

    select
        documents.*,
        documents.line_refund_exact_amount
        + coalesce(linked_refunds.refund_exact_amount, 0) as refund_exact_amount,
        coalesce(linked_refunds.refund_count, 0) as linked_refund_count
    from documents
    left join linked_refunds
        on
            documents.channel = linked_refunds.channel
            and documents.order_id = linked_refunds.order_id

)

select * from refunded
