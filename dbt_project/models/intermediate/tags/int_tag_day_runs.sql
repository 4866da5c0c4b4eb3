{{ config(materialized='view') }}

-- Rule kind consecutive_days: `min_count` days one after the other, no day between them left out. One row per
-- customer, rule, subject and day on which it holds.
with

matches as (select * from {{ ref('int_tag_matches') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

-- Days of one run lie as far apart as their numbers: the day less its number is the same for all of them.
numbered as (

    select
        *,
        row_number() over (partition by customer_id, rule_id, subject_sku order by business_date) as day_number
    from matches
    where rule_kind = 'consecutive_days'

),

runs as (

    select
        *,
        {{ add_days('business_date', '-day_number') }} as run_key
    from numbered

),

placed as (

    select
        *,
        row_number() over (partition by customer_id, rule_id, subject_sku, run_key order by business_date) as place
    from runs

),

reached as (

    {{ places_reached('placed', 'rules') }}

)

select * from reached
