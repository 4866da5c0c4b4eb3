with

scores as (select * from {{ ref('churn_scores') }}),

tiers as (select * from {{ ref('rfm_tiers') }}),

favourites as (select * from {{ ref('int_customer_favourites') }}),

recommendations as (

    select *
    from {{ ref('recommendations') }}
    where recommendation_rank = 1

),

value_weights as (select * from {{ ref('int_value_weights') }}),

-- The silence is the fact: it begins to be unusual on a day that does not move while it lasts.
silences as (

    select
        tiers.customer_id,
        tiers.last_order_date,
        {{ add_days(
            'tiers.last_order_date', 'ceil(' ~ var('playbook_silence_factor') ~ ' * scores.usual_days_between_orders)'
        ) }} as unusual_date,
        tiers.days_since_last_order,
        tiers.spend_percentile,
        scores.is_playbook_churn_risk,
        scores.churn_probability,
        scores.usual_days_between_orders,
        scores.reason_1_code
    from tiers
    inner join scores on tiers.customer_id = scores.customer_id
    where
        scores.usual_days_between_orders is not null
        and tiers.days_since_last_order < {{ journey_window('win_back', 'silent_days') }}

),

-- By the playbook's trigger, or by a score that is high for somebody who is worth an offer.
candidates as (

    select
        *,
        case when is_playbook_churn_risk then 'playbook' else 'score' end as risk_basis
    from silences
    where
        unusual_date <= {{ as_of() }}
        and {{ is_still_kept('unusual_date', 'churn_retention') }}
        and (
            is_playbook_churn_risk
            or (
                churn_probability >= {{ journey_window('churn_retention', 'churn_probability_pct') }} / 100.0
                and spend_percentile >= {{ journey_window('churn_retention', 'worth_spend_percentile') }}
            )
        )

),

final as (

    select
        candidates.customer_id,
        cast(candidates.last_order_date as varchar) as occurrence,
        {{ local_midnight_at('candidates.unusual_date') }} as triggered_at,
        'marketing' as purpose,
        coalesce(value_weights.value_weight, 1) as value_weight,
        favourites.top_category_name as favourite_category,
        recommendations.product_name as recommended_name,
        candidates.risk_basis,
        candidates.churn_probability,
        candidates.reason_1_code,
        candidates.usual_days_between_orders,
        candidates.days_since_last_order,
        candidates.last_order_date
    from candidates
    left join favourites on candidates.customer_id = favourites.customer_id
    left join recommendations on candidates.customer_id = recommendations.customer_id
    left join value_weights on candidates.customer_id = value_weights.customer_id

)

select * from final
