with

next_orders as (select * from {{ ref('next_orders') }}),

events as (select * from {{ ref('int_churn_events') }}),

lifts as (select * from {{ ref('int_churn_cause_lifts') }}),

labels as (select * from {{ ref('churn_cause_labels') }}),

-- Facts beside the last order of whoever should have ordered again by now; of several alike the latest.
met as (

    select
        next_orders.customer_id,
        next_orders.last_order_date,
        next_orders.due_date,
        events.cause,
        events.happened_on,
        events.fact_size,
        row_number() over (
            partition by next_orders.customer_id, events.cause order by events.happened_on desc
        ) as recency_place
    from next_orders
    inner join events
        on
            next_orders.customer_id = events.customer_id
            and next_orders.last_order_date = events.order_date
    where next_orders.is_overdue

),

ranked as (

    select
        met.*,
        lifts.churn_rate_with,
        lifts.churn_rate_without,
        lifts.churn_lift,
        lifts.churn_lift_low,
        labels.name_zh,
        labels.name_en,
        replace(labels.evidence_zh, '{number}', cast(met.fact_size as varchar)) as evidence_zh,
        replace(labels.evidence_en, '{number}', cast(met.fact_size as varchar)) as evidence_en,
        row_number() over (
            partition by met.customer_id
            order by lifts.churn_lift desc nulls last, met.happened_on desc, met.cause
        ) as cause_rank
    from met
    inner join lifts on met.cause = lifts.cause
    inner join labels on met.cause = labels.cause
    where met.recency_place = 1

),

final as (

    select
        customer_id,
        cause,
        name_zh as cause_name_zh,
        name_en as cause_name_en,
        happened_on,
        evidence_zh,
        evidence_en,
        last_order_date,
        {{ days_between('happened_on', 'due_date') }} as days_before_silence,
        churn_rate_with,
        churn_rate_without,
        churn_lift,
        churn_lift_low,
        coalesce(churn_lift_low > 1, false) as is_likely_cause,
        cast(cause_rank as integer) as cause_rank
    from ranked

)

select * from final
