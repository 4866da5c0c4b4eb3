{{ config(materialized='view') }}

-- Spells with why they began. One row per customer, tag and first day.
with

spells as (select * from {{ ref('int_tag_spells') }}),

firings as (select * from {{ ref('int_tag_firings') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

final as (

    select
        spells.customer_id,
        spells.tag,
        spells.since_date,
        spells.until_date,
        spells.rule_id,
        {{ tag_evidence('firings', 'rules') }} as evidence
    from spells
    inner join firings
        on
            spells.customer_id = firings.customer_id
            and spells.rule_id = firings.rule_id
            and spells.since_date = firings.fired_date
    inner join rules on spells.rule_id = rules.rule_id

)

select * from final
