-- Who names an industry means its figures: without rows in the reporting currency the own base would silently stay.
with

benchmarks as (

    select count(*) as row_count
    from {{ ref('spend_benchmarks') }}
    where industry = '{{ setting("industry") }}' and currency = '{{ setting("reporting_currency") }}'

),

named_without_rows as (

    select
        '{{ setting("industry") }}' as industry,
        '{{ setting("reporting_currency") }}' as currency
    from benchmarks
    where row_count = 0 and '{{ setting("industry") }}' <> ''

)

select * from named_without_rows
