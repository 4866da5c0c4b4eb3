{{ config(severity=var('flap_severity')) }}

-- A flap is A, B, A at the last three month ends. Who flaps is told one thing one month and another the next.
with

steps as (select * from {{ ref('int_official_tier_steps') }}),

month_ends as (select distinct as_of_date from steps),

ranked_ends as (

    select
        as_of_date,
        row_number() over (order by as_of_date desc) as recency_place
    from month_ends

),

last_three as (

    select
        steps.customer_id,
        max(case when ranked_ends.recency_place = 1 then steps.rfm_tier end) as last_tier,
        max(case when ranked_ends.recency_place = 2 then steps.rfm_tier end) as middle_tier,
        max(case when ranked_ends.recency_place = 3 then steps.rfm_tier end) as first_tier
    from steps
    inner join ranked_ends on steps.as_of_date = ranked_ends.as_of_date
    where ranked_ends.recency_place <= 3
    group by steps.customer_id
    having count(*) = 3 and min(steps.ladder) = max(steps.ladder)

),

counted as (

    select
        count(*) as customer_count,
        sum(case when first_tier = last_tier and middle_tier <> last_tier then 1 else 0 end) as flap_count
    from last_three

),

over_budget as (

    select
        customer_count,
        flap_count,
        {{ ratio('100 * flap_count', 'customer_count') }} as flap_share_pct
    from counted
    where flap_count * 100 > customer_count * {{ var('flap_budget_pct') }}

)

select * from over_budget
