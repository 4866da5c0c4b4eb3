{%- set browsed = {
    'visit': 'session_count', 'interaction': 'session_count', 'product_view': 'product_view_count',
    'cart_added': 'cart_added_count', 'favourite_added': 'favourite_added_count'
} -%}
{%- set one_if_complaint = "case when ticket_kind = 'complaint' then 1 else 0 end" -%}
{%- set one_if_low = 'case when rating <= ' ~ var('low_rating_until') ~ ' then 1 else 0 end' -%}

-- What a customer did apart from ordering, and what went wrong for them. One row per customer and day with any of it.
-- An interaction is a step the customer took: a visit, a post, a shop, a ticket, a review, an answer, a message opened.
with

source_customers as (select * from {{ ref('source_customers') }}),

orders as (select * from {{ ref('int_order_documents') }}),

-- A parcel is late from the day it was promised for, whenever it came after that: later news cannot change it.
late_parcels as (

    select
        orders.channel,
        orders.source_customer_id,
        {{ to_business_date('shipments.promised_at') }} as business_date
    from {{ ref('stg_shipments') }} as shipments
    inner join orders
        on
            shipments.channel = orders.channel
            and shipments.order_id = orders.order_id
    where
        shipments.promised_at < {{ as_of_end_at() }}
        and (shipments.delivered_at is null or shipments.delivered_at > shipments.promised_at)

),

account_days as (

    select
        channel,
        source_customer_id,
        business_date,
        {{- behaviour_counts(browsed) }}
    from {{ ref('fct_events_daily') }}
    where source_customer_id is not null

    union all

    select
        channel,
        source_customer_id,
        business_date,
        {{- behaviour_counts({'interaction': 'message_count'}) }}
    from {{ ref('fct_community_days') }}

    union all

    select
        channel,
        source_customer_id,
        business_date,
        {{- behaviour_counts({'interaction': '1'}) }}
    from {{ ref('stg_store_visits') }}

    union all

    select
        channel,
        source_customer_id,
        business_date,
        {{- behaviour_counts({'interaction': '1', 'message_response': '1'}) }}
    from {{ ref('stg_message_receipts') }}
    where receipt_kind in ('opened', 'clicked')

    union all

    select
        channel,
        source_customer_id,
        business_date,
        {{- behaviour_counts({'interaction': '1', 'ticket': '1', 'complaint': one_if_complaint}) }}
    from {{ ref('stg_tickets') }}

    union all

    select
        channel,
        source_customer_id,
        business_date,
        {{- behaviour_counts({'interaction': '1', 'low_rating': one_if_low}) }}
    from {{ ref('stg_reviews') }}

    union all

    select
        channel,
        source_customer_id,
        business_date,
        {{- behaviour_counts({'interaction': '1'}) }}
    from {{ ref('stg_survey_answers') }}

    union all

    select
        channel,
        source_customer_id,
        business_date,
        {{- behaviour_counts({'late_parcel': '1'}) }}
    from late_parcels

),

final as (

    select
        source_customers.customer_id,
        {%- for measure in behaviour_measures() %}
            cast(sum(account_days.{{ measure }}_count) as bigint) as {{ measure }}_count,
        {%- endfor %}
        account_days.business_date
    from account_days
    inner join source_customers
        on
            account_days.channel = source_customers.channel
            and account_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, account_days.business_date

)

select * from final
