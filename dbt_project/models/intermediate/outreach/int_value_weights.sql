-- How much a customer's value weighs where not all messages may go: predicted value against the median of all, within
-- bounds; 1 without a prediction. One row per customer with an order.
with

clv_scores as (select * from {{ ref('clv_scores') }}),

medians as (select {{ quantile_of('predicted_clv', 0.5) }} as median_clv from clv_scores),

final as (

    select
        clv_scores.customer_id,
        cast(
            case
                when clv_scores.predicted_clv is null or coalesce(medians.median_clv, 0) <= 0 then 1
                else
                    least(
                        greatest(
                            clv_scores.predicted_clv / medians.median_clv,
                            {{ journey_window('every_journey', 'least_value_weight_pct') }} / 100.0
                        ),
                        {{ journey_window('every_journey', 'most_value_weight_pct') }} / 100.0
                    )
            end as double
        ) as value_weight
    from clv_scores
    cross join medians

)

select * from final
