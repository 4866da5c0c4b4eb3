{{ config(materialized='stepwise', shape='whole') }}

with

active_parts as (

    select
        entity,
        feed,
        file_sha256,
        contract_hash,
        inbox_seq
    from {{ source('ledger', 'inbox_files') }}
    where state = 'active' and entity <> 'consents'

),

-- What the last finished staging holds, read by address: it is the end of the chain this model begins.
staged as (

    {{ staged_before() }}

),

numbered as (

    select
        coalesce(active_parts.entity, staged.entity) as entity,
        coalesce(active_parts.feed, staged.feed) as feed,
        coalesce(active_parts.file_sha256, staged.file_sha256) as file_sha256,
        coalesce(active_parts.contract_hash, staged.contract_hash) as contract_hash,
        coalesce(active_parts.inbox_seq, staged.inbox_seq) as inbox_seq,
        active_parts.feed is not null as is_active,
        staged.feed is not null as is_staged,
        staged.part_number as staged_number
    from active_parts
    full outer join staged
        on
            active_parts.feed = staged.feed
            and active_parts.file_sha256 = staged.file_sha256
            and active_parts.contract_hash = staged.contract_hash

),

-- A part keeps its number for good; new parts follow in the order they came in.
final as (

    select
        cast(
            coalesce(
                staged_number,
                coalesce(max(staged_number) over (), 0)
                + row_number() over (partition by is_staged order by inbox_seq, feed, contract_hash)
            ) as integer
        ) as part_number,
        entity,
        feed,
        file_sha256,
        contract_hash,
        inbox_seq,
        is_active,
        is_staged
    from numbered

)

select * from final
