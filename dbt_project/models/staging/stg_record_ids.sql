{{ config(materialized='stepwise', shape='replace_keys', key='part_number', keys='parts_to_replace') }}
{%- for entity in staged_entities() %}{% do source('conformed', entity) %}{% endfor %}

-- One narrow row per record, so that tonight's ids can be held against all others without their records.
with

parts as (select * from {{ ref('stg_parts') }}),

final as (

    {% for entity, found in parts_to_read(is_stepping()).items() %}
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
                and parts.is_active
        {% if is_stepping() %}where records.{{ in_files(found | map(attribute='file')) }}{% endif %}
        {% if not loop.last %}union all{% endif %}
    {% else %}
        select
            cast(null as varchar) as entity,
            {{ record_key('cast(null as varchar)') }} as record_key,
            cast(null as integer) as part_number,
            cast(null as bigint) as record_number
        where false
    {% endfor %}

)

select * from final
