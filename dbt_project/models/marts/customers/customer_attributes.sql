with

profiles as (select * from {{ ref('int_account_profiles') }}),

rules as (select * from {{ ref('survivorship') }}),

account_counts as (

    select
        customer_id,
        count(*) as account_count
    from profiles
    group by customer_id

),

-- One row per account and field it knows. The place of a channel's name in the list is its rank.
claims as (

    select
        profiles.customer_id,
        profiles.channel,
        profiles.source_customer_id,
        profiles.first_seen_date,
        rules.field_name,
        rules.rule,
        case rules.field_name
            when 'gender' then profiles.gender
            when 'birth_year' then cast(profiles.birth_year as varchar)
            when 'city_name' then profiles.city_name
            when 'country_name' then profiles.country_name
            when 'guide_id' then profiles.guide_id
            when 'store_id' then profiles.store_id
            when 'source_name' then profiles.source_name
        end as field_value,
        case when rules.field_name = 'country_name' then profiles.country_said_at else profiles.said_at end as said_at,
        position(' ' || profiles.channel || ' ' in ' ' || coalesce(rules.channels, '') || ' ') as channel_place,
        account_counts.account_count = 1 as is_alone
    from profiles
    inner join account_counts on profiles.customer_id = account_counts.customer_id
    cross join rules

),

contested as (

    select *
    from claims
    where field_value is not null and not is_alone

),

value_counts as (

    select
        customer_id,
        field_name,
        field_value,
        count(*) as value_count
    from contested
    where rule = 'most_frequent'
    group by customer_id, field_name, field_value

),

-- The keys of the other rules are the same for all claims of a field, so they decide nothing.
ranked as (

    select
        contested.*,
        row_number() over (
            partition by contested.customer_id, contested.field_name
            order by
                case when contested.channel_place > 0 then 0 else 1 end,
                contested.channel_place,
                case when contested.rule = 'first_known' then contested.first_seen_date end,
                case when contested.rule = 'first_known' then contested.said_at end,
                value_counts.value_count desc,
                case when contested.rule = 'longest' then length(contested.field_value) end desc,
                contested.said_at desc,
                contested.channel,
                contested.source_customer_id
        ) as survivor_place
    from contested
    left join value_counts
        on
            contested.customer_id = value_counts.customer_id
            and contested.field_name = value_counts.field_name
            and contested.field_value = value_counts.field_value

),

survivors as (

    select
        customer_id,
        field_name,
        field_value,
        channel,
        source_customer_id,
        rule,
        channel_place,
        said_at
    from claims
    where field_value is not null and is_alone
    union all
    select
        customer_id,
        field_name,
        field_value,
        channel,
        source_customer_id,
        rule,
        channel_place,
        said_at
    from ranked
    where survivor_place = 1

),

final as (

    select
        customer_id,
        field_name,
        field_value,
        channel,
        source_customer_id,
        rule,
        channel_place > 0 as is_preferred_channel,
        {{ to_business_date('said_at') }} as said_date
    from survivors

)

select * from final
