with

refunds as (select * from {{ ref('stg_refunds') }}),

documents as (

    select
        channel,
        order_id,
        source_customer_id,
        currency,
        reporting_rate,
        -- greatest() skips a null, so unknown money is kept apart.
        case
            when gross_exact_amount is not null
                then greatest(gross_exact_amount - discount_exact_amount - line_refund_exact_amount, 0)
        end as refundable_exact_amount
    from {{ ref('int_order_documents') }}
    where document_kind <> 'refund'

),

matched as (

    select
        refunds.channel,
        refunds.refund_id,
        refunds.order_id,
        coalesce(documents.source_customer_id, refunds.source_customer_id) as source_customer_id,
        refunds.refunded_at,
        refunds.business_date,
        refunds.refund_amount,
        refunds.currency,
        refunds.refund_reason,
        documents.refundable_exact_amount,
        -- At the rate of the order's day, so that paying all of it back leaves nothing.
        {{ in_reporting_currency('refunds.refund_amount', 'refunds.currency', 'documents.reporting_rate') }}
            as reporting_amount,
        documents.order_id is not null as has_order,
        coalesce(documents.currency = refunds.currency, false) as is_same_currency,
        {{ days_between('refunds.business_date', as_of()) }} as waiting_days
    from refunds
    left join documents
        on
            refunds.channel = documents.channel
            and refunds.order_id = documents.order_id

),

-- Refunds use up what the goods of the order were worth, in the order they were booked; what is above it, such as
-- shipping paid back, was never spend and is held out.
used_up as (

    select
        *,
        coalesce(
            sum(case when is_same_currency then reporting_amount else 0 end) over (
                partition by channel, order_id
                order by refunded_at, refund_id
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as used_amount
    from matched

),

counted as (

    select
        channel,
        refund_id,
        order_id,
        source_customer_id,
        refunded_at,
        business_date,
        refund_amount,
        currency,
        refund_reason,
        waiting_days,
        has_order,
        is_same_currency,
        reporting_amount,
        case
            when is_same_currency and refundable_exact_amount is not null
                then least(reporting_amount, greatest(refundable_exact_amount - used_amount, 0))
        end as refund_exact_amount
    from used_up

),

final as (

    select
        channel,
        refund_id,
        order_id,
        source_customer_id,
        refunded_at,
        business_date,
        refund_amount,
        currency,
        refund_reason,
        refund_exact_amount,
        waiting_days,
        case
            when not has_order and waiting_days > {{ var('orphan_refund_days') }} then 'orphan_expired'
            when not has_order then 'orphan_held'
            when not is_same_currency then 'other_currency'
            when refund_exact_amount is null then 'unconverted'
            when refund_exact_amount < reporting_amount then 'capped'
            else 'counted'
        end as refund_state
    from counted

)

select * from final
