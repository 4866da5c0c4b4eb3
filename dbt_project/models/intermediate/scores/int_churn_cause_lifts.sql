-- How much oftener customers fall silent after an order with such a fact than after one without, among orders of
-- customers who came as often in the quarter before: whoever comes often meets more facts and leaves less. Only orders
-- whose horizon is over count. One row per cause.
with

customer_days as (select * from {{ ref('int_customer_days') }}),

events as (select * from {{ ref('int_churn_events') }}),

labels as (select * from {{ ref('churn_cause_labels') }}),

purchase_days as (

    select
        customer_id,
        business_date,
        lead(business_date) over (partition by customer_id order by business_date) as next_date
    from customer_days
    where purchase_day_number is not null

),

-- Purchase days among the three before it that lie in the quarter: 0 to 3, where 3 is three or more.
frequencies as (

    select
        *,
        {%- for place in [1, 2, 3] %}
            case
                when
                    {{ days_between(
                        'lag(business_date, ' ~ place ~ ') over (partition by customer_id order by business_date)',
                        'business_date'
                    ) }} <= {{ var('churn_horizon_days') }}
                    then 1
                else 0
            end {{ "+" if not loop.last else "as earlier_count" }}
        {%- endfor %}
    from purchase_days

),

outcomes as (

    select
        customer_id,
        business_date,
        earlier_count,
        coalesce(next_date > {{ add_days('business_date', var('churn_horizon_days')) }}, true) as is_silent
    from frequencies
    where business_date <= {{ as_of_plus(-var('churn_horizon_days')) }}

),

met as (

    select distinct
        customer_id,
        order_date,
        cause
    from events

),

strata as (

    select
        labels.cause,
        outcomes.earlier_count,
        count(*) as order_count,
        count(case when outcomes.is_silent then 1 end) as silent_count,
        count(met.cause) as met_count,
        count(case when met.cause is not null and outcomes.is_silent then 1 end) as met_silent_count
    from labels
    cross join outcomes
    left join met
        on
            labels.cause = met.cause
            and outcomes.customer_id = met.customer_id
            and outcomes.business_date = met.order_date
    group by labels.cause, outcomes.earlier_count

),

-- What would have been without the fact: each stratum at the rate of its orders without one.
expected as (

    select
        *,
        met_count
        * {{ ratio('(silent_count - met_silent_count)', '(order_count - met_count)') }} as expected_silent_count
    from strata
    where order_count > met_count

),

summed as (

    select
        cause,
        sum(met_count) as met_count,
        sum(met_silent_count) as met_silent_count,
        sum(expected_silent_count) as expected_silent_count
    from expected
    group by cause

),

final as (

    select
        cause,
        cast(met_count as bigint) as met_count,
        {{ ratio('met_silent_count', 'met_count') }} as churn_rate_with,
        {{ ratio('expected_silent_count', 'met_count') }} as churn_rate_without,
        case
            when met_count >= {{ var('cause_min_orders') }}
                then round({{ ratio('met_silent_count', 'expected_silent_count') }}, 6)
        end as churn_lift,
        -- The lower end of the interval of a count that varies as its root.
        case
            when met_count >= {{ var('cause_min_orders') }}
                then round(
                    {{ ratio(
                        '(met_silent_count - ' ~ var('cause_z') ~ ' * sqrt(met_silent_count))',
                        'expected_silent_count'
                    ) }},
                    6
                )
        end as churn_lift_low
    from summed

)

select * from final
