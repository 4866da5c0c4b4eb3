{%- set tables = {
    'session_count': ('fct_sessions', 'count(*)'),
    'dwell_seconds': ('fct_sessions', 'sum(facts.dwell_seconds)'),
    'page_view_count': ('fct_events_daily', 'sum(facts.page_view_count)'),
    'cart_added_count': ('fct_cart_days', 'sum(facts.added_count)'),
    'favourite_added_count': ('fct_favourite_days', 'sum(facts.added_count)'),
    'live_entered_count': ('fct_live_days', 'sum(facts.entered_count)'),
    'community_message_count': ('fct_community_days', 'sum(facts.message_count)'),
    'store_visit_count': ('stg_store_visits', 'count(*)'),
    'ticket_count': ('stg_tickets', 'count(*)'),
    'review_count': ('stg_reviews', 'count(*)'),
    'survey_answer_count': ('stg_survey_answers', 'count(*)'),
    'message_delivered_count': (
        'stg_message_receipts',
        "count(distinct case when facts.receipt_kind = 'delivered' then facts.feed_channel || facts.message_id end)"
    ),
    'coupon_issued_count': ('stg_coupon_events', "count(case when facts.action = 'issued' then 1 end)"),
} -%}

-- The sum over customers is the sum over the facts of the accounts that have a customer, domain by domain.
with

owners as (select * from {{ ref('source_customers') }}),

customers as (select * from {{ ref('customer_360') }}),

orders as (

    select *
    from {{ ref('fct_orders') }}
    where customer_id is not null

),

compared as (

    {% for name, told in tables.items() %}
        select
            '{{ name }}' as column_name,
            (select sum(customers.{{ name }}) from customers) as customer_sum,
            {{ told[1] }} as fact_sum,
            0.0 as tolerance
        from {{ ref(told[0]) }} as facts
        inner join owners
            on
                facts.channel = owners.channel
                and facts.source_customer_id = owners.source_customer_id

        union all

    {% endfor %}
    select
        'order_count' as column_name,
        (select sum(customers.order_count) from customers) as customer_sum,
        count(*) as fact_sum,
        0.0 as tolerance
    from orders
    where document_kind = 'sale'

    union all

    -- Rounded once per customer: the sums may be apart by half a cent each.
    select
        'spend_amount' as column_name,
        (select sum(customers.spend_amount) from customers) as customer_sum,
        sum(net_exact_amount) as fact_sum,
        (select 0.005 * count(*) from customers) as tolerance
    from orders

    union all

    select
        'customer_id' as column_name,
        (select count(*) from customers) as customer_sum,
        count(*) as fact_sum,
        0.0 as tolerance
    from {{ ref('dim_customers') }}

)

select *
from compared
where abs(coalesce(customer_sum, 0) - coalesce(fact_sum, 0)) > tolerance
