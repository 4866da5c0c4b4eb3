{%- set consent_channel = 'email' -%}
{%- set consent_purpose = 'marketing' -%}

with

tiers as (select * from {{ ref('rfm_tiers') }}),

consent_states as (

    select *
    from {{ ref('consent_states') }}
    where purpose = '{{ consent_purpose }}' and consent_channel = '{{ consent_channel }}'

),

dormant_customers as (

    select
        customer_id,
        rfm_tier,
        tier_rule_id,
        days_since_last_order,
        last_order_date
    from tiers
    where rfm_tier = 'dormant'

),

-- One contact per customer: a usable one before the others, then what was said last.
best_contacts as (

    select
        *,
        row_number() over (
            partition by customer_id
            order by is_usable desc, occurred_at desc, contact_token
        ) as contact_place
    from consent_states

),

-- Someone without consent stays in: the decision step must give every candidate its outcome.
final as (

    select
        dormant_customers.customer_id,
        dormant_customers.rfm_tier,
        dormant_customers.tier_rule_id,
        dormant_customers.days_since_last_order,
        dormant_customers.last_order_date,
        cast(dormant_customers.last_order_date as varchar) as occurrence,
        coalesce(best_contacts.is_usable, false) as has_consent,
        '{{ consent_purpose }}' as purpose,
        '{{ consent_channel }}' as consent_channel,
        best_contacts.contact_token,
        best_contacts.contact_mask,
        best_contacts.is_granted,
        best_contacts.occurred_at as consent_occurred_at,
        best_contacts.notice_version
    from dormant_customers
    left join best_contacts
        on
            dormant_customers.customer_id = best_contacts.customer_id
            and best_contacts.contact_place = 1

)

select * from final
