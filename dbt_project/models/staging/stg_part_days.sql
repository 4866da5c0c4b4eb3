{{ config(materialized='stepwise', shape='replace_keys', key='part_number', keys='parts_to_replace') }}
{%- for entity in staged_entities() %}{% do source('conformed', entity) %}{% endfor %}

-- Which days a part holds, how many records and how late they came: asked instead of the records themselves.
with

parts as (select * from {{ ref('stg_parts') }}),

records as (

    {% for entity, found in parts_to_read(is_stepping()).items() %}
        select
            feed,
            file_sha256,
            '{{ entity }}' as entity,
            {{ touched_date(entity) }} as business_date,
            {{ late_bucket(entity) }} as late_bucket,
            {{ visible_at(entity) }} as visible_at
        from {{ source('conformed', entity) }}
        {% if is_stepping() %}where {{ in_files(found | map(attribute='file')) }}{% endif %}
        {% if not loop.last %}union all{% endif %}
    {% else %}
        select
            cast(null as varchar) as feed,
            cast(null as varchar) as file_sha256,
            cast(null as varchar) as entity,
            cast(null as date) as business_date,
            cast(null as integer) as late_bucket,
            cast(null as timestamp) as visible_at
        where false
    {% endfor %}

),

days as (

    select
        feed,
        file_sha256,
        entity,
        business_date,
        late_bucket,
        count(*) as record_count,
        min(visible_at) as first_visible_at,
        max(visible_at) as last_visible_at
    from records
    group by feed, file_sha256, entity, business_date, late_bucket

),

final as (

    select
        parts.part_number,
        days.entity,
        days.business_date,
        days.late_bucket,
        days.record_count,
        days.first_visible_at,
        days.last_visible_at
    from days
    inner join parts
        on
            days.feed = parts.feed
            and days.file_sha256 = parts.file_sha256
            and days.entity = parts.entity
            and parts.is_active

)

select * from final
