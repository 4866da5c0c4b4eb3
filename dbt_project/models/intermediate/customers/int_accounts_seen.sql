with

order_lines as (select * from {{ ref('stg_order_lines') }}),

orders as (select * from {{ ref('stg_orders') }}),

refunds as (select * from {{ ref('stg_refunds') }}),

accounts as (select * from {{ ref('stg_accounts') }}),

consents as (select * from {{ ref('stg_consents') }}),

sightings as (

    select
        channel,
        source_customer_id,
        min(business_date) as first_seen_date,
        max(business_date) as last_seen_date
    from order_lines
    where source_customer_id is not null
    group by channel, source_customer_id

    union all

    select
        channel,
        source_customer_id,
        business_date as first_seen_date,
        business_date as last_seen_date
    from orders

    union all

    select
        channel,
        source_customer_id,
        business_date as first_seen_date,
        business_date as last_seen_date
    from refunds

    union all

    select
        channel,
        source_customer_id,
        first_seen_date,
        first_seen_date as last_seen_date
    from accounts

    union all

    select
        channel,
        source_customer_id,
        business_date as first_seen_date,
        business_date as last_seen_date
    from consents

),

accounts_seen as (

    select
        channel,
        source_customer_id,
        min(first_seen_date) as first_seen_date,
        max(last_seen_date) as last_seen_date
    from sightings
    where source_customer_id is not null
    group by channel, source_customer_id

)

select * from accounts_seen
