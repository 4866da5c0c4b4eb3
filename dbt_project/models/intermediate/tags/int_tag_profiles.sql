{{ config(materialized='view') }}

-- Rule kind profile: the year of the birthday after which the age is reached, no earlier than the customer was seen.
-- One row per customer and rule.
with

attributes as (select * from {{ ref('customer_attributes') }}),

source_customers as (select * from {{ ref('source_customers') }}),

rules as (select * from {{ ref('int_tag_rules') }}),

first_seen as (

    select
        customer_id,
        min(first_seen_date) as first_seen_date
    from source_customers
    group by customer_id

),

born as (

    select
        customer_id,
        cast(field_value as integer) as birth_year
    from attributes
    where field_name = 'birth_year'

),

ages as (

    select
        born.customer_id,
        rules.rule_id,
        greatest(
            {{ first_of_year('born.birth_year + coalesce(rules.age_from, 0)') }}, first_seen.first_seen_date
        ) as on_date,
        case when rules.age_to is not null then {{ first_of_year('born.birth_year + rules.age_to + 1') }} end
            as ends_date
    from born
    inner join first_seen on born.customer_id = first_seen.customer_id
    inner join rules on rules.rule_kind = 'profile' and rules.signal = 'birth_year'

),

final as (

    select *
    from ages
    where ends_date is null or ends_date > on_date

)

select * from final
