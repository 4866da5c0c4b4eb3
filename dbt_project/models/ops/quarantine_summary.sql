with

door_records as (select * from {{ source('quarantine', 'records') }}),

conflicts as (

    select
        feed,
        'conflict' as reason_code,
        cast(null as varchar) as column_name,
        count(*) as record_count
    from {{ ref('stg_repeats') }}
    where outcome = 'conflict'
    group by feed

),

held_at_the_door as (

    select
        feed,
        reason_code,
        column_name,
        count(*) as record_count
    from (
        select distinct
            feed,
            file_sha256,
            record_number,
            reason_code,
            column_name
        from door_records
    ) as distinct_problems
    group by feed, reason_code, column_name

),

final as (

    select
        feed,
        reason_code,
        column_name,
        cast(sum(record_count) as bigint) as record_count
    from (
        select * from held_at_the_door
        union all
        select * from conflicts
    ) as all_problems
    group by feed, reason_code, column_name

)

select * from final
