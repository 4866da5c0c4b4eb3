{{ config(materialized='stepwise', shape='replace_keys', key='record_key', keys='repeats_to_replace') }}
{{- reads_every_entity() }}

-- What is needed to tell which of the records that share an id counts. Few ids repeat: only they are here.
with

parts as (select * from {{ ref('stg_parts') }}),

record_ids as (

    {{ ids_to_look_at() }}

),

repeated_keys as (

    {{ repeated_keys('record_ids' if is_stepping() else ref('stg_record_ids')) }}

),

repeated_ids as (

    select record_ids.*
    from record_ids
    inner join repeated_keys
        on record_ids.record_key = repeated_keys.record_key

),

final as (

    {% call(entity, files) per_entity(repeated_parts()) %}
        select
            parts.entity,
            repeated_ids.record_key,
            repeated_ids.part_number,
            repeated_ids.record_number,
            records.content_hash,
            records.source_version,
            records.known_at,
            {{ visible_at(entity) }} as visible_at,
            {{ touched_date(entity) }} as business_date
        from {{ source('conformed', entity) }} as records
        inner join parts
            on
                records.feed = parts.feed
                and records.file_sha256 = parts.file_sha256
                and parts.is_active
        inner join repeated_ids
            on
                parts.part_number = repeated_ids.part_number
                and records.record_number = repeated_ids.record_number
        where {{ is_in_files(files) }}
    {% endcall %}

    {{ repeats_of_parts_taken_out() }}

)

select * from final
