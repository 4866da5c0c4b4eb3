with

source_customers as (select * from {{ ref('source_customers') }}),

accounts as (select * from {{ ref('stg_accounts') }}),

order_documents as (select * from {{ ref('int_order_documents') }}),

-- A channel without account records still tells where the last parcel went.
order_countries as (

    select
        channel,
        source_customer_id,
        country_name,
        row_number() over (
            partition by channel, source_customer_id
            order by ordered_at desc, order_id
        ) as recency_place
    from order_documents
    where source_customer_id is not null and country_name is not null

),

profiles as (

    select
        source_customers.customer_id,
        source_customers.channel,
        source_customers.source_customer_id,
        source_customers.first_seen_date,
        source_customers.last_seen_date,
        accounts.registered_at,
        accounts.gender,
        accounts.birth_year,
        accounts.city_name,
        coalesce(accounts.country_name, order_countries.country_name) as country_name,
        row_number() over (
            partition by source_customers.customer_id
            order by
                source_customers.last_seen_date desc,
                source_customers.channel,
                source_customers.source_customer_id
        ) as survivor_place
    from source_customers
    left join accounts
        on
            source_customers.channel = accounts.channel
            and source_customers.source_customer_id = accounts.source_customer_id
    left join order_countries
        on
            source_customers.channel = order_countries.channel
            and source_customers.source_customer_id = order_countries.source_customer_id
            and order_countries.recency_place = 1

),

-- Per field, the account seen last that knows it survives.
survivors as (

    select
        customer_id,
        min(first_seen_date) as first_seen_date,
        max(last_seen_date) as last_seen_date,
        min(registered_at) as registered_at,
        cast(count(*) as integer) as account_count,
        cast(count(distinct channel) as integer) as channel_count,
        min(case when gender is not null then survivor_place end) as gender_place,
        min(case when birth_year is not null then survivor_place end) as birth_year_place,
        min(case when city_name is not null then survivor_place end) as city_place,
        min(case when country_name is not null then survivor_place end) as country_place
    from profiles
    group by customer_id

),

final as (

    select
        survivors.customer_id,
        survivors.first_seen_date,
        survivors.last_seen_date,
        survivors.registered_at,
        survivors.account_count,
        survivors.channel_count,
        max(case when profiles.survivor_place = survivors.gender_place then profiles.gender end) as gender,
        max(case when profiles.survivor_place = survivors.birth_year_place then profiles.birth_year end)
            as birth_year,
        max(case when profiles.survivor_place = survivors.city_place then profiles.city_name end) as city_name,
        max(case when profiles.survivor_place = survivors.country_place then profiles.country_name end)
            as country_name
    from survivors
    inner join profiles on survivors.customer_id = profiles.customer_id
    group by
        survivors.customer_id,
        survivors.first_seen_date,
        survivors.last_seen_date,
        survivors.registered_at,
        survivors.account_count,
        survivors.channel_count

)

select * from final
