-- The birthday most accounts of a customer say; of equals the one said last. One row per customer whose account says
-- one. The year is the latest any account says: in doubt somebody is taken for younger.
with

source_customers as (select * from {{ ref('source_customers') }}),

accounts as (select * from {{ ref('stg_accounts') }}),

claims as (

    select
        source_customers.customer_id,
        accounts.birth_month,
        accounts.birth_day,
        count(*) as account_count,
        max(accounts.said_at) as said_at,
        max(accounts.birth_year) as birth_year
    from source_customers
    inner join accounts
        on
            source_customers.channel = accounts.channel
            and source_customers.source_customer_id = accounts.source_customer_id
    where accounts.birth_month is not null and accounts.birth_day is not null
    group by source_customers.customer_id, accounts.birth_month, accounts.birth_day

),

ranked as (

    select
        customer_id,
        birth_month,
        birth_day,
        max(birth_year) over (partition by customer_id) as latest_birth_year,
        row_number() over (
            partition by customer_id
            order by account_count desc, said_at desc, birth_month, birth_day
        ) as claim_place
    from claims

),

final as (

    select
        customer_id,
        birth_month,
        birth_day,
        latest_birth_year
    from ranked
    where claim_place = 1

)

select * from final
