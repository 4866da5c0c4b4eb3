with

inbox_files as (select * from {{ source('ledger', 'inbox_files') }}),

customers as (select count(*) as customer_count from {{ ref('dim_customers') }}),

files as (

    select
        count(distinct file_sha256) as input_file_count,
        max(inbox_seq) as last_inbox_seq
    from inbox_files

),

-- No clock time: the same input gives the same row. When it was built stands in the manifest.
final as (

    select
        {{ as_of() }} as as_of_date,
        '{{ setting("business_timezone") }}' as business_timezone,
        '{{ setting("reporting_currency") }}' as reporting_currency,
        '{{ setting("ladder") }}' as ladder,
        {{ training_as_of() }} as training_as_of_date,
        cast({{ var('rfm_window_days') }} as integer) as rfm_window_days,
        cast({{ var('churn_horizon_days') }} as integer) as churn_horizon_days,
        files.input_file_count,
        cast(files.last_inbox_seq as bigint) as last_inbox_seq,
        customers.customer_count
    from files
    cross join customers

)

select * from final
