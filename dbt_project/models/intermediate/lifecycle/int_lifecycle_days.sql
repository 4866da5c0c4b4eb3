{{ config(materialized='view') }}

-- Days the stage of every customer is told for: as_of, the day before (what has just changed) and the month ends
-- before (the matrix of moves). One row per day.
with

month_ends as (

    {% for number in range(var('lifecycle_month_count') + 1) %}
        select {{ add_days(month_start(as_of_plus(1), -number), -1) }} as snapshot_date
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

final as (

    select
        snapshot_date,
        true as is_month_end
    from month_ends

    union all

    select
        snapshot_date,
        false as is_month_end
    from (
        select {{ as_of() }} as snapshot_date
        union all
        select {{ as_of_plus(-1) }} as snapshot_date
    ) as recent_days
    where snapshot_date not in (select month_ends.snapshot_date from month_ends)

)

select * from final
