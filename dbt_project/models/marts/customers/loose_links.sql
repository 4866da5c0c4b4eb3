with

loose_links as (select * from {{ source('identity', 'loose_links') }}),

source_customers as (select * from {{ ref('source_customers') }}),

identity_overrides as (select * from {{ source('ledger', 'identity_overrides') }}),

-- Of two decisions about one pair the newer holds.
ranked_overrides as (

    select
        override_kind,
        left_channel,
        left_customer_id,
        right_channel,
        right_customer_id,
        row_number() over (
            partition by left_channel, left_customer_id, right_channel, right_customer_id
            order by override_id desc
        ) as newest_place
    from identity_overrides

),

-- Whoever said that two accounts are two people has said it of their customers.
customers_kept_apart as (

    select distinct
        least(left_customers.customer_id, right_customers.customer_id) as first_customer_id,
        greatest(left_customers.customer_id, right_customers.customer_id) as second_customer_id
    from ranked_overrides
    inner join source_customers as left_customers
        on
            ranked_overrides.left_channel = left_customers.channel
            and ranked_overrides.left_customer_id = left_customers.source_customer_id
    inner join source_customers as right_customers
        on
            ranked_overrides.right_channel = right_customers.channel
            and ranked_overrides.right_customer_id = right_customers.source_customer_id
    where
        ranked_overrides.newest_place = 1
        and ranked_overrides.override_kind in ('never_link', 'unlink')

),

current_links as (

    select
        loose_links.channel,
        loose_links.source_customer_id,
        customers.customer_id,
        loose_links.linked_channel,
        loose_links.linked_source_customer_id,
        linked_customers.customer_id as linked_customer_id,
        loose_links.confidence_class,
        loose_links.match_probability,
        loose_links.rival_count,
        loose_links.evidence,
        loose_links.as_of_date,
        loose_links.model_fingerprint
    from loose_links
    inner join source_customers as customers
        on
            loose_links.channel = customers.channel
            and loose_links.source_customer_id = customers.source_customer_id
    inner join source_customers as linked_customers
        on
            loose_links.linked_channel = linked_customers.channel
            and loose_links.linked_source_customer_id = linked_customers.source_customer_id

),

final as (

    select current_links.*
    from current_links
    left join customers_kept_apart
        on
            least(current_links.customer_id, current_links.linked_customer_id)
            = customers_kept_apart.first_customer_id
            and greatest(current_links.customer_id, current_links.linked_customer_id)
            = customers_kept_apart.second_customer_id
    where
        current_links.customer_id <> current_links.linked_customer_id
        and customers_kept_apart.first_customer_id is null

)

select * from final
