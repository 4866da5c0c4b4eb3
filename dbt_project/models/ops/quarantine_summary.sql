-- depends_on: {{ ref('stg_order_line_repeats') }}, {{ ref('stg_order_repeats') }}
-- depends_on: {{ ref('stg_refund_repeats') }}, {{ ref('stg_account_repeats') }}, {{ ref('stg_product_repeats') }}
with

door_records as (select * from {{ source('quarantine', 'records') }}),

conflicts as (

    {% for entity, repeats in staged_entities().items() %}
        select
            feed,
            'conflict' as reason_code,
            cast(null as varchar) as column_name,
            count(*) as record_count
        from {{ ref(repeats) }}
        where outcome = 'conflict'
        group by feed
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

held_at_the_door as (

    select
        feed,
        reason_code,
        column_name,
        count(*) as record_count
    from (
        select distinct
            feed,
            file_sha256,
            record_number,
            reason_code,
            column_name
        from door_records
    ) as distinct_problems
    group by feed, reason_code, column_name

),

final as (

    select
        feed,
        reason_code,
        column_name,
        cast(sum(record_count) as bigint) as record_count
    from (
        select * from held_at_the_door
        union all
        select * from conflicts
    ) as all_problems
    group by feed, reason_code, column_name

)

select * from final
