-- What each account of a customer says of its owner. One row per account of source_customers.
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
        ordered_at,
        row_number() over (
            partition by channel, source_customer_id
            order by ordered_at desc, order_id
        ) as recency_place
    from order_documents
    where source_customer_id is not null and country_name is not null

),

final as (

    select
        source_customers.customer_id,
        source_customers.channel,
        source_customers.source_customer_id,
        source_customers.first_seen_date,
        source_customers.last_seen_date,
        accounts.registered_at,
        accounts.said_at,
        accounts.gender,
        accounts.birth_year,
        accounts.city_name,
        accounts.guide_id,
        accounts.store_id,
        accounts.source_name,
        coalesce(accounts.country_name, order_countries.country_name) as country_name,
        case when accounts.country_name is null then order_countries.ordered_at else accounts.said_at end
            as country_said_at
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

)

select * from final
