with

accounts_seen as (select * from {{ ref('int_accounts_seen') }}),

customer_accounts as (select * from {{ source('identity', 'customer_accounts') }}),

-- Identity may know accounts of later days: only those seen by as_of are customers yet.
final as (

    select
        accounts_seen.channel,
        accounts_seen.source_customer_id,
        customer_accounts.customer_id,
        customer_accounts.linked_by,
        accounts_seen.first_seen_date,
        accounts_seen.last_seen_date
    from accounts_seen
    inner join customer_accounts
        on
            accounts_seen.channel = customer_accounts.channel
            and accounts_seen.source_customer_id = customer_accounts.source_customer_id

)

select * from final
