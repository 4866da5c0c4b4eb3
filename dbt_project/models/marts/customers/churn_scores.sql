with

scores as (

    select *
    from {{ source('scores', 'churn_scores') }}
    where as_of_date <= {{ as_of() }}

),

-- The trigger needs no model: it is there before the first one and when scoring failed.
customers as (

    select *
    from {{ ref('customer_features') }}
    where cutoff_date = {{ as_of() }}

),

reasons as (select * from {{ ref('churn_reasons') }}),

-- When scoring failed tonight the last whole slice stays, and its date shows that it is old.
newest_slice as (select max(as_of_date) as as_of_date from scores),

newest as (

    select scores.*
    from scores
    inner join newest_slice on scores.as_of_date = newest_slice.as_of_date

),

final as (

    select
        customers.customer_id,
        newest.as_of_date,
        newest.churn_probability,
        {%- for rank in [1, 2, 3] %}
            reason_{{ rank }}.code as reason_{{ rank }}_code,
            reason_{{ rank }}.label_zh as reason_{{ rank }}_zh,
            reason_{{ rank }}.label_en as reason_{{ rank }}_en,
        {%- endfor %}
        customers.is_playbook_churn_risk,
        customers.days_since_last_order,
        customers.usual_days_between_orders,
        customers.usual_gap_basis,
        customers.interaction_count_30d,
        customers.interaction_monthly_mean,
        newest.horizon_days,
        newest.model_version,
        newest.as_of_date < {{ as_of() }} as is_stale,
        newest.scored_at
    from customers
    left join newest on customers.customer_id = newest.customer_id
    left join reasons as reason_1 on newest.reason_1 = reason_1.code
    left join reasons as reason_2 on newest.reason_2 = reason_2.code
    left join reasons as reason_3 on newest.reason_3 = reason_3.code

)

select * from final
