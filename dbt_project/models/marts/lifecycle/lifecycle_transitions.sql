{%- set stage_columns = {'lifecycle': 'lifecycle_stage', 'aipl': 'aipl_stage'} -%}

with

month_ends as (

    select snapshot_date
    from {{ ref('int_lifecycle_days') }}
    where is_month_end

),

staged as (

    select staged.*
    from {{ ref('int_lifecycle_staged') }} as staged
    inner join month_ends on staged.snapshot_date = month_ends.snapshot_date

),

pairs as (

    select
        arrived.snapshot_date as month_end,
        departed.lifecycle_stage as from_lifecycle_stage,
        arrived.lifecycle_stage as to_lifecycle_stage,
        departed.aipl_stage as from_aipl_stage,
        arrived.aipl_stage as to_aipl_stage
    from staged as arrived
    left join staged as departed
        on
            arrived.customer_id = departed.customer_id
            and departed.snapshot_date = {{ last_day_of_previous_month('arrived.snapshot_date') }}
    -- The oldest month end is there to be compared with.
    where arrived.snapshot_date > (select min(month_ends.snapshot_date) from month_ends)

),

moves as (

    {% for stage_model, stage in stage_columns.items() %}
        select
            month_end,
            '{{ stage_model }}' as stage_model,
            coalesce(from_{{ stage }}, 'not_seen') as from_stage,
            to_{{ stage }} as to_stage,
            count(*) as customer_count
        from pairs
        group by month_end, from_{{ stage }}, to_{{ stage }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

final as (

    select
        month_end,
        stage_model,
        from_stage,
        to_stage,
        customer_count,
        {{ ratio(
            '100 * customer_count', 'sum(customer_count) over (partition by month_end, stage_model, from_stage)'
        ) }} as share_pct
    from moves

)

select * from final
