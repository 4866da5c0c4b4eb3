-- How long customers held tags. A tag is one spell from its first firing until the last of those that touch each other
-- has ended; a tag that replaces it ends it and keeps it away. One row per customer, tag and first day.
with

all_firings as (select * from {{ ref('int_tag_firings') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

tags as (

    select distinct tag
    from rules

),

replacements as (

    select distinct
        rules.tag as replacing_tag,
        tags.tag as replaced_tag
    from rules
    inner join tags on {{ is_in_list('tags.tag', 'rules.replaces', ' ') }}

),

free_firings as (

    select *
    from all_firings
    where requires_tag is null

),

free_spells as (

    {{ merged_spells('free_firings') }}

),

-- The tag a rule builds on has to be held on the day the rule is met.
deeper_firings as (

    select all_firings.*
    from all_firings
    inner join free_spells
        on
            all_firings.customer_id = free_spells.customer_id
            and all_firings.requires_tag = free_spells.tag
            and all_firings.fired_date >= free_spells.since_date
            and (free_spells.until_date is null or all_firings.fired_date < free_spells.until_date)

),

firings as (

    select * from free_firings
    union all
    select * from deeper_firings

),

replacing_tags as (

    select distinct replacing_tag
    from replacements

),

replacing_firings as (

    select firings.*
    from firings
    inner join replacing_tags on firings.tag = replacing_tags.replacing_tag

),

replacing_spells as (

    {{ merged_spells('replacing_firings') }}

),

-- Spells of replacing tags on each firing of a tag they replace: one that covers it, and the next that cuts it off.
cuts as (

    select
        firings.customer_id,
        firings.tag,
        firings.fired_date,
        max(
            case
                when
                    replacing_spells.since_date <= firings.fired_date
                    and (replacing_spells.until_date is null or replacing_spells.until_date > firings.fired_date)
                    then 1
                else 0
            end
        ) as is_covered,
        min(case when replacing_spells.since_date > firings.fired_date then replacing_spells.since_date end)
            as cut_date
    from firings
    inner join replacements on firings.tag = replacements.replaced_tag
    inner join replacing_spells
        on
            firings.customer_id = replacing_spells.customer_id
            and replacements.replacing_tag = replacing_spells.tag
    group by firings.customer_id, firings.tag, firings.fired_date

),

standing_firings as (

    select
        firings.customer_id,
        firings.tag,
        firings.rule_id,
        firings.fired_date,
        case
            when cuts.cut_date is null then firings.ends_date
            when firings.ends_date is null then cuts.cut_date
            else least(firings.ends_date, cuts.cut_date)
        end as ends_date
    from firings
    left join cuts
        on
            firings.customer_id = cuts.customer_id
            and firings.tag = cuts.tag
            and firings.fired_date = cuts.fired_date
    where coalesce(cuts.is_covered, 0) = 0

),

final as (

    {{ merged_spells('standing_firings') }}

)

select * from final
