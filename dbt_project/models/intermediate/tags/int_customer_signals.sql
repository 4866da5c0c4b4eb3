-- Signals the rules use, of customers. The same product on the same day counts once, by whichever account: a merge
-- adds no signal that was there. One row per customer, day, signal and product or word.
with

signals as (select * from {{ ref('int_tag_signals') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

source_customers as (select * from {{ ref('source_customers') }}),

-- What rules ask for, and what cancels or ends it.
used_signals as (

    select signal
    from rules
    union distinct
    select endings.ending_signal
    from ({{ ending_signals() }}) as endings
    left join rules on endings.asked_signal = rules.signal
    where endings.asked_signal is null or rules.signal is not null

),

final as (

    select
        source_customers.customer_id,
        signals.business_date,
        signals.signal,
        coalesce(signals.sku, '') as sku,
        coalesce(signals.subject, '') as subject,
        min(signals.detail) as detail,
        min(signals.first_at) as first_at,
        max(signals.last_at) as last_at
    from signals
    inner join used_signals on signals.signal = used_signals.signal
    inner join source_customers
        on
            signals.channel = source_customers.channel
            and signals.source_customer_id = source_customers.source_customer_id
    group by
        source_customers.customer_id,
        signals.business_date,
        signals.signal,
        coalesce(signals.sku, ''),
        coalesce(signals.subject, '')

)

select * from final
