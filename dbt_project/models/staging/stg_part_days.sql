{{ config(materialized='stepwise', shape='replace_keys', key='part_number', keys='parts_to_replace') }}
{{- reads_every_entity() }}

-- Which days a part holds, how many records and how late they came: asked instead of the records themselves.
with

parts as (

    select *
    from {{ ref('stg_parts') }}
    where is_active

),

records as (

    {% call(entity, files) per_entity(parts_to_read()) %}
        select
            records.feed,
            records.file_sha256,
            '{{ entity }}' as entity,
            {{ touched_date(entity) }} as business_date,
            {{ late_bucket(entity) }} as late_bucket,
            {{ visible_at(entity) }} as visible_at
        from {{ source('conformed', entity) }} as records
        where {{ is_in_files(files) }}
    {% endcall %}

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

)

select * from final
