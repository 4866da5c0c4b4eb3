{%- set life = var('life_search_days') -%}
{%- set window = var('life_window_pct') -%}
{%- set flanks = var('life_flanks_pct') -%}
{%- set in_window -%}
    100 * curves.day_number between {{ window[0] }} * candidates.life_days and {{ window[1] }} * candidates.life_days
{%- endset -%}
{%- set is_watched = 'curves.at_risk_count >= ' ~ var('life_min_at_risk') -%}
{%- set in_early = is_watched ~ ' and 100 * curves.day_number < ' ~ flanks[1] ~ ' * candidates.life_days' -%}
{%- set in_late = is_watched ~ ' and 100 * curves.day_number > ' ~ flanks[2] ~ ' * candidates.life_days' -%}

-- After how many days a series is bought again because it is used up, as all customers together tell. Some always buy
-- for other reasons, early or late, so neither mean nor median says it: it is where more buy again than before and
-- after. Whether two pieces last twice as long is measured likewise. One row per scope and series.
with

curves as (select * from {{ ref('int_repurchase_curves') }}),

-- Every life that was watched to the end of its window.
candidates as (

    select
        shortest.scope,
        shortest.series,
        shortest.basis,
        shortest.day_number as life_days
    from curves as shortest
    inner join curves as last_days
        on
            shortest.scope = last_days.scope
            and shortest.series = last_days.series
            and shortest.basis = last_days.basis
            and last_days.day_number = cast(floor(shortest.day_number * {{ window[1] }} / 100) as integer)
            and last_days.at_risk_count >= {{ var('life_min_at_risk') }}
    where shortest.day_number between {{ life[0] }} and {{ life[1] }}

),

banded as (

    select
        candidates.scope,
        candidates.series,
        candidates.basis,
        candidates.life_days,
        {{ sum_when(in_window, 'curves.closed_share') }} as window_share,
        {{ sum_when(in_window, 'curves.closed_count') }} as window_count,
        {{ sum_when(in_window, '1') }} as window_day_count,
        {{ sum_when(in_early, 'curves.closed_share') }} as early_share,
        {{ sum_when(in_early, '1') }} as early_day_count,
        {{ sum_when(in_late, 'curves.closed_share') }} as late_share,
        {{ sum_when(in_late, '1') }} as late_day_count
    from candidates
    inner join curves
        on
            candidates.scope = curves.scope
            and candidates.series = curves.series
            and candidates.basis = curves.basis
            and 100 * curves.day_number >= {{ flanks[0] }} * candidates.life_days
            and 100 * curves.day_number <= {{ flanks[3] }} * candidates.life_days
    group by candidates.scope, candidates.series, candidates.basis, candidates.life_days

),

flanked as (

    select
        *,
        {{ ratio('early_share', 'early_day_count') }} as early_background,
        {{ ratio('late_share', 'late_day_count') }} as late_background
    from banded
    where window_count > 0

),

-- What is bought again anyway, on the day in the middle, and by how much less on each day later.
compared as (

    select
        *,
        (coalesce(early_background, late_background, 0) + coalesce(late_background, early_background, 0)) / 2
            as daily_background,
        coalesce(
            (early_background - late_background) * 200
            / (({{ flanks[2] + flanks[3] - flanks[0] - flanks[1] }}) * life_days),
            0
        ) as background_fall
    from flanked

),

judged as (

    select
        *,
        window_share - daily_background * window_day_count as excess_share,
        window_count * daily_background * window_day_count / window_share as expected_count
    from compared

),

ranked as (

    select
        *,
        (window_count - expected_count) / sqrt(greatest(expected_count, 1)) as z_score,
        row_number() over (
            partition by scope, series order by round(excess_share, 9) desc, basis, life_days
        ) as place
    from judged

),

best as (

    select
        scope,
        series,
        basis,
        excess_share * (1 - sqrt(window_count) / (window_count - expected_count)) as least_excess_share
    from ranked
    where
        place = 1
        and z_score >= {{ var('life_min_z') }}
        and excess_share >= {{ var('life_min_share') }}

),

-- Lives within one standard error of the best explain as much: the middle of them is steadier than the best.
centres as (

    select
        ranked.scope,
        ranked.series,
        ranked.basis,
        {{ nearest_whole('avg(ranked.life_days)') }} as life_days
    from ranked
    inner join best
        on
            ranked.scope = best.scope
            and ranked.series = best.series
            and ranked.basis = best.basis
            and round(ranked.excess_share - best.least_excess_share, 9) >= 0
    group by ranked.scope, ranked.series, ranked.basis

),

found as (

    select ranked.*
    from ranked
    inner join centres
        on
            ranked.scope = centres.scope
            and ranked.series = centres.series
            and ranked.basis = centres.basis
            and ranked.life_days = centres.life_days

),

-- The day by which half of those who buy for this reason have done so.
excess_days as (

    select
        found.scope,
        found.series,
        curves.day_number,
        found.excess_share,
        sum(
            curves.closed_share
            - found.daily_background
            + found.background_fall * (curves.day_number - found.life_days)
        ) over (partition by found.scope, found.series order by curves.day_number) as excess_so_far
    from found
    inner join curves
        on
            found.scope = curves.scope
            and found.series = curves.series
            and found.basis = curves.basis
            and 100 * curves.day_number between {{ window[0] }} * found.life_days and {{ window[1] }} * found.life_days

),

lives as (

    select
        scope,
        series,
        min(day_number) as life_days
    from excess_days
    where round(excess_so_far - excess_share / 2, 9) >= 0
    group by scope, series

),

comebacks as (

    select
        scope,
        series,
        day_number,
        closed_count,
        sum(closed_share) over (partition by scope, series order by day_number) as returned_share,
        sum(closed_share) over (partition by scope, series) as returning_share
    from curves
    where basis = 'purchase' and day_number <= {{ var('cadence_horizon_days') }}

),

quantiles as (

    select
        scope,
        series,
        cast(sum(closed_count) as bigint) as closed_count,
        max(returning_share) as returning_share,
        {{ first_day_of(50) }} as median_days,
        {{ first_day_of(var('next_order_window_pct')[0]) }} as from_days,
        {{ first_day_of(var('next_order_window_pct')[1]) }} as until_days
    from comebacks
    group by scope, series

),

final as (

    select
        quantiles.scope,
        quantiles.series,
        quantiles.closed_count,
        quantiles.returning_share,
        quantiles.median_days,
        quantiles.from_days,
        quantiles.until_days,
        lives.life_days,
        found.basis = 'unit' as is_per_unit,
        found.excess_share,
        found.z_score
    from quantiles
    left join found on quantiles.scope = found.scope and quantiles.series = found.series
    left join lives on quantiles.scope = lives.scope and quantiles.series = lives.series

)

select * from final
