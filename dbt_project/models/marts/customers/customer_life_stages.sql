with

child_windows as (select * from {{ ref('int_child_windows') }}),

life_stages as (select * from {{ ref('life_stages') }}),

allowed as (

    select customer_id
    from {{ ref('int_customer_consents') }}
    where has_profiling_consent

),

-- Windows that overlap may be of one child; one that begins after all earlier ones have ended is of a younger child.
marked as (

    select
        child_windows.*,
        case
            when
                child_windows.born_from_date <= max(child_windows.born_to_date) over (
                    partition by child_windows.customer_id
                    order by
                        child_windows.born_from_date,
                        child_windows.born_to_date,
                        child_windows.bought_date,
                        child_windows.evidence_id
                    rows between unbounded preceding and 1 preceding
                )
                then 0
            else 1
        end as is_first
    from child_windows
    inner join allowed on child_windows.customer_id = allowed.customer_id

),

numbered as (

    select
        *,
        sum(is_first) over (
            partition by customer_id
            order by born_from_date, born_to_date, bought_date, evidence_id
            rows between unbounded preceding and current row
        ) as child_number
    from marked

),

latest as (

    select
        *,
        row_number() over (
            partition by customer_id, child_number
            order by bought_date desc, born_from_date desc, evidence_id
        ) as recency_place
    from numbered

),

-- What fits all purchases is most exact; where nothing does, the last purchase is believed.
children as (

    select
        customer_id,
        child_number,
        case
            when max(born_from_date) <= min(born_to_date) then max(born_from_date)
            else max(case when recency_place = 1 then born_from_date end)
        end as born_from_date,
        case
            when max(born_from_date) <= min(born_to_date) then min(born_to_date)
            else max(case when recency_place = 1 then born_to_date end)
        end as born_to_date,
        min(bought_date) as first_bought_date,
        max(case when recency_place = 1 then concat(evidence_id, ' ', cast(bought_date as varchar)) end) as evidence
    from latest
    group by customer_id, child_number

),

-- The middle of the window stands for the birth.
born as (

    select
        *,
        {{ add_days('born_from_date', half_of_days('born_from_date', 'born_to_date')) }} as middle_date
    from children

),

aged as (

    select
        *,
        {{ months_passed('middle_date', as_of()) }} as age_months
    from born

),

final as (

    select
        aged.customer_id,
        cast(aged.child_number as integer) as child_number,
        life_stages.life_stage,
        greatest({{ months_passed('aged.born_to_date', as_of()) }}, 0) as child_age_months_from,
        {{ months_passed('aged.born_from_date', as_of()) }} as child_age_months_to,
        aged.evidence,
        greatest(
            {{ add_months('aged.middle_date', 'life_stages.months_from') }}, aged.first_bought_date
        ) as since_date
    from aged
    inner join life_stages
        on aged.age_months >= life_stages.months_from and aged.age_months < life_stages.months_to

)

select * from final
