{{ config(materialized='view') }}

-- Rule kinds count_in_window, purchase, text_intent and guide_tag: `min_count` signals within the window. One row per
-- customer, rule, subject and signal at which it holds.
with

matches as (select * from {{ ref('int_tag_matches') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

placed as (

    select
        *,
        0 as run_key,
        row_number() over (
            partition by customer_id, rule_id, subject_sku order by business_date, unit_sku
        ) as place
    from matches
    where rule_kind <> 'consecutive_days'

),

reached as (

    {{ places_reached('placed', 'rules') }}

)

select * from reached
