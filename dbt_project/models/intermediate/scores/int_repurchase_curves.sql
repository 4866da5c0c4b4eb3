{%- set last_day = var('life_search_days')[1] * var('life_flanks_pct')[3] // 100 -%}

-- How many of those still waiting buy again on each day after a purchase: the product-limit estimate of Kaplan and
-- Meier (1958). Whoever has not bought again by as_of counts among those waiting until then and no longer, so neither
-- the patient nor the newcomers pull it down, as they do a mean over those who came back. `basis` tells the days by
-- purchase or by piece bought. One row per scope, series, basis and day.
with

gaps as (select * from {{ ref('int_repurchase_gaps') }}),

days as (select number as day_number from {{ whole_numbers(0, last_day) }}),

spans as (

    select
        scope,
        series,
        'purchase' as basis,
        is_closed,
        gap_days as span_days
    from gaps

    union all

    select
        scope,
        series,
        'unit' as basis,
        is_closed,
        {{ nearest_whole('gap_days / quantity') }} as span_days
    from gaps
    where scope = 'use' and quantity > 0

),

span_counts as (

    select
        scope,
        series,
        basis,
        least(span_days, {{ last_day + 1 }}) as span_days,
        count(*) as span_count,
        count(case when is_closed and span_days <= {{ last_day }} then 1 end) as closed_count
    from spans
    group by scope, series, basis, least(span_days, {{ last_day + 1 }})

),

series_totals as (

    select
        scope,
        series,
        basis,
        sum(span_count) as purchase_count
    from span_counts
    group by scope, series, basis

),

waiting as (

    select
        series_totals.scope,
        series_totals.series,
        series_totals.basis,
        days.day_number,
        coalesce(span_counts.closed_count, 0) as closed_count,
        series_totals.purchase_count - coalesce(
            sum(span_counts.span_count) over (
                partition by series_totals.scope, series_totals.series, series_totals.basis
                order by days.day_number
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as at_risk_count
    from series_totals
    cross join days
    left join span_counts
        on
            series_totals.scope = span_counts.scope
            and series_totals.series = span_counts.series
            and series_totals.basis = span_counts.basis
            and days.day_number = span_counts.span_days

),

-- A product over the days is the exponential of a sum of logarithms; after a day on which all buy again nobody is left.
surviving as (

    select
        *,
        {{ ratio('closed_count', 'at_risk_count') }} as hazard,
        exp(
            sum(
                case
                    when closed_count = 0 then 0
                    when closed_count < at_risk_count
                        then ln(1 - {{ ratio('closed_count', 'at_risk_count') }})
                    else -1000
                end
            ) over (partition by scope, series, basis order by day_number)
        ) as survival
    from waiting

),

final as (

    select
        scope,
        series,
        basis,
        day_number,
        cast(closed_count as bigint) as closed_count,
        cast(at_risk_count as bigint) as at_risk_count,
        survival,
        coalesce(hazard, 0)
        * coalesce(lag(survival) over (partition by scope, series, basis order by day_number), 1) as closed_share
    from surviving

)

select * from final
