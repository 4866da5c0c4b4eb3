with

source_customers as (select * from {{ ref('source_customers') }}),

changes as (select * from {{ source('identity', 'customer_id_changes') }}),

-- A change that was found for a day holds from the day after it. Found twice for one day, the last one counts.
dated_changes as (

    select
        channel,
        source_customer_id,
        from_customer_id,
        to_customer_id,
        change_kind,
        reason,
        version,
        {{ add_days('as_of_date', 1) }} as valid_from_date,
        row_number() over (
            partition by channel, source_customer_id, as_of_date
            order by version desc
        ) as day_place,
        row_number() over (
            partition by channel, source_customer_id
            order by version
        ) as change_place
    from changes

),

first_ids as (

    select
        source_customers.channel,
        source_customers.source_customer_id,
        coalesce(dated_changes.from_customer_id, source_customers.customer_id) as customer_id,
        cast('0001-01-01' as date) as valid_from_date,
        'first' as change_kind,
        cast(null as varchar) as reason
    from source_customers
    left join dated_changes
        on
            source_customers.channel = dated_changes.channel
            and source_customers.source_customer_id = dated_changes.source_customer_id
            and dated_changes.change_place = 1

),

later_ids as (

    select
        channel,
        source_customer_id,
        to_customer_id as customer_id,
        valid_from_date,
        change_kind,
        reason
    from dated_changes
    where day_place = 1

),

ids as (

    select * from first_ids
    union all
    select * from later_ids

),

-- Linked and unlinked again for one day: nothing has changed.
changed_ids as (

    select
        *,
        lag(customer_id) over (
            partition by channel, source_customer_id
            order by valid_from_date
        ) as former_customer_id
    from ids

),

final as (

    select
        channel,
        source_customer_id,
        customer_id,
        valid_from_date,
        lead(valid_from_date) over (
            partition by channel, source_customer_id
            order by valid_from_date
        ) as valid_until_date,
        change_kind,
        reason
    from changed_ids
    where former_customer_id is null or former_customer_id <> customer_id

)

select * from final
