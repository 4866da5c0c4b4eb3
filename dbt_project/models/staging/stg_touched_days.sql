{{ config(materialized='stepwise', shape='replace_keys', key='attempt', keys='finished_attempts') }}
-- depends_on: {{ ref('stg_repeated_records') }}

-- Days that any new, newly visible, re-decided or taken-out record touches, since the last finished staging.
with

parts as (select * from {{ ref('stg_parts') }}),

part_days as (

    select
        part_days.*,
        parts.is_active,
        parts.is_staged
    from {{ ref('stg_part_days') }} as part_days
    inner join parts
        on part_days.part_number = parts.part_number

),

-- Equal copies of what is known, such as a whole catalogue delivered again, touch nothing.
unchanged_copies as (

    select
        part_number,
        business_date,
        count(*) as record_count
    from {{ ref('stg_repeats') }}
    where not is_current and not was_current
    group by part_number, business_date

),

new_part_days as (

    select
        part_days.part_number,
        part_days.entity,
        part_days.business_date
    from part_days
    left join unchanged_copies
        on
            part_days.part_number = unchanged_copies.part_number
            and part_days.business_date = unchanged_copies.business_date
    where part_days.is_active and not part_days.is_staged
    group by part_days.part_number, part_days.entity, part_days.business_date
    having
        sum(part_days.record_count) > coalesce(max(unchanged_copies.record_count), 0)
        and min(part_days.first_visible_at) < {{ as_of_end_at() }}

),

changed_part_days as (

    select
        entity,
        business_date
    from new_part_days

    union all

    select
        entity,
        business_date
    from part_days
    where
        (is_staged and not is_active)
        or (
            last_visible_at >= {{ sql_instant(staged_end_at() or '1900-01-01') }}
            and first_visible_at < {{ as_of_end_at() }}
            and is_staged
        )

),

changed_repeats as (

    select
        entity,
        business_date
    from {{ ref('stg_repeats') }}
    where is_current <> was_current

),

final as (

    select distinct
        entity,
        business_date,
        cast({{ step_state().attempt }} as integer) as attempt
    from (
        select * from changed_part_days
        union all
        select * from changed_repeats
    ) as changed

)

select * from final
