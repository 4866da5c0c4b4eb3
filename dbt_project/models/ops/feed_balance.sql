with

inbox_files as (

    select *
    from {{ source('ledger', 'inbox_files') }}
    where state <> 'superseded'

),

parts as (select * from {{ ref('stg_parts') }}),

-- Counted from the records themselves when they were staged, never from what the door says it wrote.
written as (

    select
        parts.feed,
        parts.file_sha256,
        sum(part_days.record_count) as record_count
    from {{ ref('stg_part_days') }} as part_days
    inner join parts
        on part_days.part_number = parts.part_number and parts.is_active
    group by parts.feed, parts.file_sha256

),

repeated as (

    select
        feed,
        file_sha256,
        sum(case when outcome = 'duplicate' then 1 else 0 end) as duplicate_count,
        sum(case when outcome = 'conflict' then 1 else 0 end) as conflict_count
    from {{ ref('stg_repeats') }}
    group by feed, file_sha256

),

-- Consents go straight to the ledger, which keeps each event once under the file that brought it first.
posted_consents as (

    select
        feed,
        file_sha256,
        count(*) as record_count
    from {{ source('ledger', 'consents') }}
    group by feed, file_sha256

),

balanced as (

    select
        inbox_files.feed,
        inbox_files.channel,
        inbox_files.entity,
        inbox_files.file_sha256,
        coalesce(inbox_files.received_count, 0) as received_count,
        case
            when inbox_files.entity = 'consents' then coalesce(posted_consents.record_count, 0)
            else
                coalesce(written.record_count, 0)
                - coalesce(repeated.duplicate_count, 0)
                - coalesce(repeated.conflict_count, 0)
        end as accepted_count,
        coalesce(inbox_files.quarantined_count, 0) + coalesce(repeated.conflict_count, 0) as quarantined_count,
        case
            when inbox_files.entity = 'consents'
                then coalesce(inbox_files.written_count, 0) - coalesce(posted_consents.record_count, 0)
            else coalesce(repeated.duplicate_count, 0)
        end as duplicate_count
    from inbox_files
    left join written
        on inbox_files.feed = written.feed and inbox_files.file_sha256 = written.file_sha256
    left join repeated
        on inbox_files.feed = repeated.feed and inbox_files.file_sha256 = repeated.file_sha256
    left join posted_consents
        on
            inbox_files.feed = posted_consents.feed
            and inbox_files.file_sha256 = posted_consents.file_sha256

),

final as (

    select
        feed,
        channel,
        entity,
        file_sha256,
        cast(received_count as bigint) as received_count,
        cast(accepted_count as bigint) as accepted_count,
        cast(quarantined_count as bigint) as quarantined_count,
        cast(duplicate_count as bigint) as duplicate_count
    from balanced

)

select * from final
