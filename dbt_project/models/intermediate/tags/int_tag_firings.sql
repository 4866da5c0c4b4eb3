-- Every time a rule came true and stayed true for the days it waits, with the first day the tag would be gone again.
-- Only facts date it: never the day of the run. One row per customer, rule, subject and day, at times several.
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

-- At the same moment the ender stands first: what happens together does not end each other.
moments as (

    select
        customer_id,
        rule_id,
        subject_sku,
        from_at as moment_at,
        1 as moment_place,
        from_date,
        on_date,
        detail,
        cast(null as date) as ender_date
    from candidates
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
        *,
        min(ender_date) over (
            partition by customer_id, rule_id, subject_sku
            order by moment_at, moment_place, on_date
            rows between 1 following and unbounded following
        ) as next_ender_date
    from moments

),

waited as (

    select
        followed.customer_id,
        rules.tag,
        followed.rule_id,
        followed.subject_sku,
        followed.from_date,
        followed.on_date,
        followed.detail,
        followed.next_ender_date,
        {{ add_days('followed.on_date', 'rules.wait_days') }} as fired_date,
        {{ add_days('followed.on_date', 'rules.wait_days + rules.ttl_days') }} as ttl_date
    from followed
    inner join rules on followed.rule_id = rules.rule_id
    where followed.moment_place = 1

),

fired as (

    select
        customer_id,
        tag,
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
    where next_ender_date is null or next_ender_date > fired_date

    union all

    select
        profiles.customer_id,
        rules.tag,
        profiles.rule_id,
        '' as subject_sku,
        profiles.on_date as from_date,
        profiles.on_date,
        cast(null as varchar) as detail,
        profiles.on_date as fired_date,
        profiles.ends_date
    from profiles
    inner join rules on profiles.rule_id = rules.rule_id

),

final as (

    select
        fired.customer_id,
        fired.tag,
        fired.rule_id,
        rules.requires_tag,
        fired.fired_date,
        fired.ends_date,
        {{ tag_evidence('fired', 'rules') }} as evidence
    from fired
    inner join rules on fired.rule_id = rules.rule_id
    where fired.fired_date <= {{ as_of() }}

)

select * from final
