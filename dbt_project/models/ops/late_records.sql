with

parts as (select * from {{ ref('stg_parts') }}),

limits as (

    {% for days in late_limits() %}
        select
            cast({{ loop.index0 }} as integer) as late_bucket,
            cast({{ days }} as integer) as within_days
        union all
    {% endfor %}
    select
        cast({{ late_limits() | length }} as integer) as late_bucket,
        cast(null as integer) as within_days

),

-- Counted when the parts were staged, so nothing is read again; what is not seen yet at as_of is left out.
counted as (

    select
        parts.feed,
        part_days.entity,
        part_days.late_bucket,
        sum(part_days.record_count) as record_count
    from {{ ref('stg_part_days') }} as part_days
    inner join parts
        on part_days.part_number = parts.part_number and parts.is_active
    where part_days.late_bucket is not null and part_days.first_visible_at < {{ as_of_end_at() }}
    group by parts.feed, part_days.entity, part_days.late_bucket

),

final as (

    select
        counted.feed,
        counted.entity,
        limits.within_days,
        cast(counted.record_count as bigint) as record_count,
        {{ ratio('100 * counted.record_count', 'sum(counted.record_count) over (partition by counted.feed)') }}
            as record_share_pct,
        limits.within_days is not null and limits.within_days <= {{ var('late_lookback_days') }} as is_in_time
    from counted
    inner join limits
        on counted.late_bucket = limits.late_bucket

)

select * from final
