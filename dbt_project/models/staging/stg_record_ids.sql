{{ config(materialized='stepwise', shape='replace_keys', key='part_number', keys='parts_to_replace') }}
{{- reads_every_entity() }}

-- One narrow row per record, so that tonight's ids can be held against all others without their records.
with

parts as (

    select *
    from {{ ref('stg_parts') }}
    where is_active

),

final as (

    {% call(entity, files) per_entity(parts_to_read()) %}
        select
            parts.entity,
            {{ record_key('records.record_id') }} as record_key,
            parts.part_number,
            records.record_number
        from {{ source('conformed', entity) }} as records
        inner join parts
            on
                records.feed = parts.feed
                and records.file_sha256 = parts.file_sha256
        where {{ is_in_files(files) }}
    {% endcall %}

)

select * from final
