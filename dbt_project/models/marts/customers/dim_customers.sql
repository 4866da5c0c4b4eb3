{%- set fields = ['gender', 'birth_year', 'city_name', 'country_name', 'guide_id', 'store_id', 'source_name'] -%}

with

profiles as (select * from {{ ref('int_account_profiles') }}),

attributes as (select * from {{ ref('customer_attributes') }}),

customers as (

    select
        customer_id,
        min(first_seen_date) as first_seen_date,
        max(last_seen_date) as last_seen_date,
        min(registered_at) as registered_at,
        cast(count(*) as integer) as account_count,
        cast(count(distinct channel) as integer) as channel_count
    from profiles
    group by customer_id

),

golden_records as (

    select
        {% for field in fields %}
            max(case when field_name = '{{ field }}' then field_value end) as {{ field }},
            max(case when field_name = '{{ field }}' then channel end) as {{ field }}_channel,
        {% endfor %}
        customer_id
    from attributes
    group by customer_id

),

final as (

    select
        customers.customer_id,
        customers.first_seen_date,
        customers.last_seen_date,
        customers.registered_at,
        customers.account_count,
        customers.channel_count,
        golden_records.gender,
        golden_records.gender_channel,
        cast(golden_records.birth_year as integer) as birth_year,
        golden_records.birth_year_channel,
        golden_records.city_name,
        golden_records.city_name_channel,
        golden_records.country_name,
        golden_records.country_name_channel,
        golden_records.guide_id,
        golden_records.guide_id_channel,
        golden_records.store_id,
        golden_records.store_id_channel,
        golden_records.source_name,
        golden_records.source_name_channel
    from customers
    left join golden_records on customers.customer_id = golden_records.customer_id

)

select * from final
