with

scores as (

    select *
    from {{ source('scores', 'sales_forecast') }}
    where as_of_date <= {{ as_of() }}

),

-- When forecasting failed tonight the last whole slice stays, and its date shows that it is old.
newest_slice as (select max(as_of_date) as as_of_date from scores),

final as (

    select
        scores.series,
        scores.forecast_date,
        cast(scores.expected_amount as decimal(18, 2)) as expected_amount,
        cast(scores.low_amount as decimal(18, 2)) as low_amount,
        cast(scores.high_amount as decimal(18, 2)) as high_amount,
        scores.method,
        scores.backtest_mase,
        scores.baseline_mase,
        scores.backtest_wape,
        scores.backtest_coverage_pct,
        scores.backtest_origin_count,
        scores.note,
        scores.as_of_date,
        scores.as_of_date < {{ as_of() }} as is_stale,
        scores.model_version,
        scores.scored_at
    from scores
    inner join newest_slice on scores.as_of_date = newest_slice.as_of_date

)

select * from final
