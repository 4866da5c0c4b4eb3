-- How much a customer's value weighs where not all messages may go: the more the larger the predicted value, 1 at the
-- median of all and without a prediction. The bounds are narrow: value orders the people of a journey, its priority
-- orders journeys. One row per customer with an order.
with

clv_scores as (select * from {{ ref('clv_scores') }}),

medians as (select {{ quantile_of('predicted_clv', 0.5) }} as median_clv from clv_scores),

final as (

    select
        clv_scores.customer_id,
        cast(
            case
                when coalesce(clv_scores.predicted_clv, -1) < 0 or coalesce(medians.median_clv, 0) <= 0 then 1
                else
                    {{ journey_window('every_journey', 'least_value_weight_pct') }} / 100.0
                    + (
                        {{ journey_window('every_journey', 'most_value_weight_pct') }}
                        - {{ journey_window('every_journey', 'least_value_weight_pct') }}
                    ) / 100.0 * clv_scores.predicted_clv / (clv_scores.predicted_clv + medians.median_clv)
            end as double
        ) as value_weight
    from clv_scores
    cross join medians

)

select * from final
