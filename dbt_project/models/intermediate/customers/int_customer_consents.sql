{%- set ways = ['email', 'sms', 'wecom', 'push'] -%}

-- What a customer allows at as_of, by marts.consent_states. One row per customer who ever said a word about it; the
-- ledger itself decides at sending.
with

states as (select * from {{ ref('consent_states') }}),

source_customers as (select * from {{ ref('source_customers') }}),

-- Who asked not to be profiled, to be restricted or forgotten took back what was agreed to before, unless the desk
-- refused it.
objections as (

    select
        source_customers.customer_id,
        max(requests.requested_at) as objected_at
    from {{ ref('stg_privacy_requests') }} as requests
    inner join source_customers
        on
            requests.channel = source_customers.channel
            and requests.source_customer_id = source_customers.source_customer_id
    where
        requests.request_kind in ('profiling_opt_out', 'restriction', 'erasure')
        and coalesce(requests.request_status, '') <> 'refused'
    group by source_customers.customer_id

),

usable as (

    select
        states.customer_id,
        states.purpose,
        states.consent_channel,
        states.is_granted,
        states.occurred_at,
        states.is_usable
        and (
            states.purpose <> 'profiling'
            or states.occurred_at > coalesce(objections.objected_at, {{ sql_instant('1900-01-01') }})
        ) as is_usable
    from states
    left join objections on states.customer_id = objections.customer_id

),

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
        -- Agreed to by word, and taken back by no contact.
        coalesce(min(case when purpose = 'profiling' then case when is_usable then 1 else 0 end end), 0) = 1
            as has_profiling_consent,
        max(case when not is_granted then 1 else 0 end) = 1 as has_withdrawn_consent,
        max({{ to_business_date('occurred_at') }}) as last_consent_date
    from usable
    group by customer_id

)

select * from final
