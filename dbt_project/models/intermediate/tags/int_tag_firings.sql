-- Every time a rule came true and stayed true for the days it waits, with the first day the tag would be gone again.
-- Only facts date it: never the day of the run. One row per customer,
-- rule and day.
with

day_runs as (select * from {{ ref('int_tag_day_runs') }}),

browse_runs as (select * from {{ ref('int_tag_browse_runs') }}),

counts as (select * from {{ ref('int_tag_counts') }}),

enders as (select * from {{ ref('int_tag_enders') }}),

profiles as (select * from {{ ref('int_tag_profiles') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

candidates as (

    select * from day_runs
    union all
    select * from browse_runs
    union all
    select * from counts

),

rules_that_end as (

    select *
    from rules
    where without_purchase_of is not null or rule_kind = 'guide_tag'

),

-- At the same moment the ender stands first: what happens together does not end each other.
moments as (

    select
        candidates.customer_id,
        candidates.rule_id,
        candidates.subject_sku,
        candidates.from_at as moment_at,
        1 as moment_place,
        candidates.from_date,
        candidates.on_date,
        candidates.detail,
        cast(null as date) as ender_date
    from candidates
    inner join rules_that_end on candidates.rule_id = rules_that_end.rule_id
    union all
    select
        customer_id,
        rule_id,
        subject_sku,
        last_at as moment_at,
        0 as moment_place,
        cast(null as date) as from_date,
        cast(null as date) as on_date,
        cast(null as varchar) as detail,
        business_date as ender_date
    from enders

),

followed as (

    select
        customer_id,
        rule_id,
        subject_sku,
        moment_place,
        from_date,
        on_date,
        detail,
        min(ender_date) over (
            partition by customer_id, rule_id, subject_sku
            order by moment_at, moment_place, on_date
            rows between 1 following and unbounded following
        ) as next_ender_date
    from moments

),

-- Nothing ends a tag of the other rules but time.
waited as (

    select
        followed.*,
        {{ add_days('followed.on_date', 'rules.wait_days') }} as fired_date,
        {{ add_days('followed.on_date', 'rules.wait_days + rules.ttl_days') }} as ttl_date
    from followed
    inner join rules on followed.rule_id = rules.rule_id
    where followed.moment_place = 1
    union all
    select
        candidates.customer_id,
        candidates.rule_id,
        candidates.subject_sku,
        1 as moment_place,
        candidates.from_date,
        candidates.on_date,
        candidates.detail,
        cast(null as date) as next_ender_date,
        {{ add_days('candidates.on_date', 'rules.wait_days') }} as fired_date,
        {{ add_days('candidates.on_date', 'rules.wait_days + rules.ttl_days') }} as ttl_date
    from candidates
    inner join rules on candidates.rule_id = rules.rule_id
    where rules.without_purchase_of is null and rules.rule_kind <> 'guide_tag'

),

fired as (

    select
        customer_id,
        rule_id,
        subject_sku,
        from_date,
        on_date,
        detail,
        fired_date,
        case
            when next_ender_date is null then ttl_date
            when ttl_date is null then next_ender_date
            else least(ttl_date, next_ender_date)
        end as ends_date
    from waited
    where (next_ender_date is null or next_ender_date > fired_date) and fired_date <= {{ as_of() }}

    union all

    select
        customer_id,
        rule_id,
        '' as subject_sku,
        on_date as from_date,
        on_date,
        cast(null as varchar) as detail,
        on_date as fired_date,
        ends_date
    from profiles
    where on_date <= {{ as_of() }}

),

-- Of several on one day, such as two products left in the cart, the one that lasts longest tells why.
ranked as (

    select
        *,
        row_number() over (
            partition by customer_id, rule_id, fired_date
            order by ends_date desc nulls first, subject_sku, from_date, detail nulls last
        ) as lasting_place
    from fired

),

final as (

    select
        ranked.customer_id,
        rules.tag,
        ranked.rule_id,
        rules.requires_tag,
        ranked.subject_sku,
        ranked.from_date,
        ranked.on_date,
        ranked.detail,
        ranked.fired_date,
        ranked.ends_date
    from ranked
    inner join rules on ranked.rule_id = rules.rule_id
    where ranked.lasting_place = 1

)

select * from final
