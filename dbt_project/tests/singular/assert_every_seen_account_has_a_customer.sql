{{ config(tags=['night_only']) }}
-- Identity must know every account; one without a customer would silently lose its orders. Only the night can ask: an
-- account first seen by day has no customer before identity has run.
with

unknown_accounts as (

    select
        accounts_seen.channel,
        accounts_seen.source_customer_id
    from {{ ref('int_accounts_seen') }} as accounts_seen
    left join {{ ref('source_customers') }} as source_customers
        on
            accounts_seen.channel = source_customers.channel
            and accounts_seen.source_customer_id = source_customers.source_customer_id
    where source_customers.customer_id is null

)

select * from unknown_accounts
