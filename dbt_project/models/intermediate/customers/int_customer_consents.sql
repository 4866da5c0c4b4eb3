{%- set ways = ['email', 'sms', 'wecom', 'push'] -%}

-- What a customer allows at as_of, by marts.consent_states. One row per customer who ever said a word about it; the
-- ledger itself decides at sending.
with

states as (select * from {{ ref('consent_states') }}),

final as (

    select
        customer_id,
        {%- for way in ways %}
            max(case when is_usable and purpose = 'marketing' and consent_channel = '{{ way }}' then 1 else 0 end) = 1
                as has_{{ way }}_consent,
        {%- endfor %}
        cast(count(distinct case when is_usable and purpose = 'marketing' then consent_channel end) as integer)
            as marketing_channel_count,
        max(case when is_usable and purpose = 'service' then 1 else 0 end) = 1 as has_service_consent,
        max(case when is_usable and purpose = 'profiling' then 1 else 0 end) = 1 as has_profiling_consent,
        max(case when not is_granted then 1 else 0 end) = 1 as has_withdrawn_consent,
        max({{ to_business_date('occurred_at') }}) as last_consent_date
    from states
    group by customer_id

)

select * from final
