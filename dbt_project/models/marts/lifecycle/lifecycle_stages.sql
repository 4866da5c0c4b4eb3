with

staged as (select * from {{ ref('int_lifecycle_staged') }}),

facts as (

    select *
    from {{ ref('int_lifecycle_facts') }}
    where snapshot_date = {{ as_of() }}

),

today as (

    select *
    from staged
    where snapshot_date = {{ as_of() }}

),

yesterday as (

    select *
    from staged
    where snapshot_date = {{ as_of_plus(-1) }}

),

last_month as (

    select *
    from staged
    where snapshot_date = {{ last_day_of_previous_month(as_of()) }}

),

final as (

    select
        today.customer_id,
        {{ as_of() }} as as_of_date,
        today.lifecycle_stage,
        today.lifecycle_rule_id,
        yesterday.lifecycle_stage as lifecycle_stage_yesterday,
        last_month.lifecycle_stage as lifecycle_stage_last_month,
        today.aipl_stage,
        today.aipl_rule_id,
        yesterday.aipl_stage as aipl_stage_yesterday,
        last_month.aipl_stage as aipl_stage_last_month,
        facts.order_count_in_year,
        facts.interest_count,
        facts.product_view_count
    from today
    inner join facts on today.customer_id = facts.customer_id
    left join yesterday on today.customer_id = yesterday.customer_id
    left join last_month on today.customer_id = last_month.customer_id

)

select * from final
