{{ config(materialized='stepwise', shape='replace_keys', key='record_key', keys='repeats_to_replace') }}
{%- for entity in staged_entities() %}{% do source('conformed', entity) %}{% endfor %}
{%- set found = repeated_parts(is_stepping()) %}

-- What is needed to tell which of the records that share an id counts. Few ids repeat: only they are here.
with

parts as (select * from {{ ref('stg_parts') }}),

record_ids as (select * from {{ ref('stg_record_ids') }}),

repeated_keys as (

    {{ repeated_keys(is_stepping()) }}

),

repeated_ids as (

    select record_ids.*
    from record_ids
    inner join repeated_keys
        on record_ids.record_key = repeated_keys.record_key

),

final as (

    {% for entity, files in found.items() %}
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
        {% if files %}where records.{{ in_files(files) }}{% endif %}
        union all
    {% endfor %}
    {% if is_stepping() %}
        select kept.*
        from {{ this }} as kept
        inner join parts on kept.part_number = parts.part_number and not parts.is_active
        inner join repeated_keys on kept.record_key = repeated_keys.record_key
    {% else %}
        select
            cast(null as varchar) as entity,
            {{ record_key('cast(null as varchar)') }} as record_key,
            cast(null as integer) as part_number,
            cast(null as bigint) as record_number,
            cast(null as varchar) as content_hash,
            cast(null as timestamp) as source_version,
            cast(null as timestamp) as known_at,
            cast(null as timestamp) as visible_at,
            cast(null as date) as business_date
        where false
    {% endif %}

)

select * from final
