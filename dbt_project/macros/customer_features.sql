{#
  Features of every customer at each cut-off, from days up to the cut-off only; labels from the days after it.
  One text for training and for today: a feature cannot mean two things, and a leak would show in both.
  `cutoffs` is a relation with the column cutoff_date; `ranges` has one row per cut-off and customer.

  Point in time is meant of the day a thing happened: business_date <= cutoff_date. A record of such a day that
  came late counts at a past cut-off too, as does an account linked or a product filed elsewhere since.
#}
{% macro customer_features_at(cutoffs, customer_days, behaviour_days, ranges) %}
{%- set horizon = var('churn_horizon_days') -%}
{%- set year = var('value_horizon_days') -%}
{#- "In 30 days" of the playbook, and the days before them its usual month is taken from. -#}
{%- set recent = 30 -%}
{%- set behaviour_days_back = [180, recent + var('playbook_prior_days')] | max -%}
{%- set windowed = [
    ('visit', [30, 90]), ('product_view', [90]), ('cart_added', [90]), ('favourite_added', [90]),
    ('interaction', [30]), ('message_response', [90]), ('ticket', [90]), ('complaint', [180]), ('low_rating', [180]),
    ('late_parcel', [180])
] -%}
with

panel as (

    select
        cutoffs.cutoff_date,
        customer_days.*,
        customer_days.business_date <= cutoffs.cutoff_date as is_known,
        {{ days_between('customer_days.business_date', 'cutoffs.cutoff_date') }} as age_days
    from {{ cutoffs }} as cutoffs
    inner join {{ customer_days }} as customer_days
        on customer_days.business_date <= {{ add_days('cutoffs.cutoff_date', year) }}

),

sums as (

    select
        cutoff_date,
        customer_id,
        {{ sum_when('is_known', 'order_count') }} as order_count,
        {{ sum_when('is_known', 'sale_line_count') }} as sale_line_count,
        {{ sum_when('is_known', 'new_product_count') }} as product_count,
        {{ sum_when('is_known', 'gross_exact_amount - discount_exact_amount') }} as sales_exact_amount,
        {{ sum_when('is_known', 'gross_exact_amount') }} as gross_exact_amount,
        {{ sum_when('is_known', 'discount_exact_amount') }} as discount_exact_amount,
        {{ sum_when('is_known', 'refund_exact_amount') }} as refund_exact_amount,
        {{ sum_when('is_known and age_days < 180', 'refund_exact_amount') }} as refund_180d_exact_amount,
        {{ sum_when('is_known', 'net_exact_amount') }} as spend_exact_amount,
        {%- for days in [90, 180, 365] %}
            {{ sum_when('is_known and age_days < ' ~ days, 'net_exact_amount') }} as spend_{{ days }}d_exact_amount,
            {{ sum_when('is_known and age_days < ' ~ days, 'order_count') }} as order_count_{{ days }}d,
        {%- endfor %}
        {{ sum_when('is_known and age_days >= ' ~ (365 - horizon) ~ ' and age_days < 365', 'order_count') }}
            as same_season_order_count,
        {{ sum_when('is_known and purchase_day_number > 1', 'net_exact_amount') }} as repeat_exact_amount,
        {{ sum_when('is_known and purchase_day_number > 1', '1') }} as frequency_days,
        {{ sum_when('is_known', 'days_since_previous_purchase') }} as gap_sum,
        {{ sum_when('is_known', 'days_since_previous_purchase * days_since_previous_purchase') }} as gap_square_sum,
        {{ quantile_of('case when is_known then days_since_previous_purchase end', 0.5) }} as median_gap,
        {{ value_at_largest(
            'coalesce(gross_exact_amount - discount_exact_amount, 0)',
            'case when is_known and order_count > 0 then business_date end'
        ) }} as last_order_exact_amount,
        min(case when is_known and order_count > 0 then business_date end) as first_order_date,
        max(case when is_known and order_count > 0 then business_date end) as last_order_date,
        {{ sum_when('age_days between -' ~ horizon ~ ' and -1', 'order_count') }} as order_count_after,
        {{ sum_when('age_days between -' ~ horizon ~ ' and -1', 'net_exact_amount') }} as spend_after_exact_amount,
        {{ sum_when('not is_known', 'order_count') }} as order_count_year_after,
        {{ sum_when('not is_known', 'net_exact_amount') }} as spend_year_after_exact_amount
    from panel
    group by cutoff_date, customer_id

),

customers as (

    select
        *,
        {{ days_between('last_order_date', 'cutoff_date') }} as days_since_last_order,
        {{ days_between('first_order_date', 'cutoff_date') }} as tenure_days,
        {{ days_between('first_order_date', 'last_order_date') }} as recency_days,
        -- The label exists once its horizon lies before the training day.
        {{ add_days('cutoff_date', horizon) }} <= {{ training_as_of() }} as is_labelled,
        {{ add_days('cutoff_date', year) }} <= {{ training_as_of() }} as is_labelled_for_a_year,
        -- A rhythm of one's own takes three orders.
        case when order_count >= {{ var('playbook_min_orders') }} then median_gap end as own_gap
    from sums
    where order_count > 0

),

-- The cut-offs that look at a day, found once per day and not once per customer and day.
behaviour_windows as (

    select
        cutoffs.cutoff_date,
        days.business_date,
        {{ days_between('days.business_date', 'cutoffs.cutoff_date') }} as age_days
    from {{ cutoffs }} as cutoffs
    inner join (select distinct business_date from {{ behaviour_days }}) as days
        on
            days.business_date <= cutoffs.cutoff_date
            and days.business_date > {{ add_days('cutoffs.cutoff_date', -behaviour_days_back) }}

),

behaviour as (

    select
        behaviour_windows.cutoff_date,
        behaviour_days.customer_id,
        {%- for measure, windows in windowed %}
            {%- for days in windows %}
                {{ sum_when('age_days < ' ~ days, measure ~ '_count') }} as {{ measure }}_count_{{ days }}d,
            {%- endfor %}
        {%- endfor %}
        {%- for days in [30, 90] %}
            {{ sum_when('age_days < ' ~ days ~ ' and interaction_count > 0', '1') }} as active_day_count_{{ days }}d,
        {%- endfor %}
        {{ sum_when('age_days >= ' ~ recent, 'interaction_count') }} as interaction_count_before,
        max(age_days) as oldest_age_days,
        min(case when interaction_count > 0 then age_days end) as days_since_last_interaction
    from {{ behaviour_days }} as behaviour_days
    inner join behaviour_windows on behaviour_days.business_date = behaviour_windows.business_date
    group by behaviour_windows.cutoff_date, behaviour_days.customer_id

),

known as (

    select
        customers.*,
        {%- for measure, windows in windowed %}
            {%- for days in windows %}
                coalesce(behaviour.{{ measure }}_count_{{ days }}d, 0) as {{ measure }}_count_{{ days }}d,
            {%- endfor %}
        {%- endfor %}
        {%- for days in [30, 90] %}
            coalesce(behaviour.active_day_count_{{ days }}d, 0) as active_day_count_{{ days }}d,
        {%- endfor %}
        coalesce(behaviour.interaction_count_before, 0) as interaction_count_before,
        behaviour.days_since_last_interaction,
        -- Days before the recent ones on which the customer was known, by an order or by anything else.
        least(
            greatest(customers.tenure_days, coalesce(behaviour.oldest_age_days, 0)) + 1 - {{ recent }},
            {{ var('playbook_prior_days') }}
        ) as prior_days,
        ranges.channel_count,
        ranges.category_count,
        ranges.main_category_name
    from customers
    left join behaviour
        on
            customers.cutoff_date = behaviour.cutoff_date
            and customers.customer_id = behaviour.customer_id
    left join {{ ranges }} as ranges
        on
            customers.cutoff_date = ranges.cutoff_date
            and customers.customer_id = ranges.customer_id

),

category_gaps as (

    select
        cutoff_date,
        main_category_name,
        {{ quantile_of('own_gap', 0.5) }} as category_gap
    from known
    where main_category_name is not null and own_gap is not null
    group by cutoff_date, main_category_name

),

overall_gaps as (

    select
        cutoff_date,
        {{ quantile_of('own_gap', 0.5) }} as overall_gap
    from known
    where own_gap is not null
    group by cutoff_date

),

paced as (

    select
        known.*,
        coalesce(known.own_gap, category_gaps.category_gap, overall_gaps.overall_gap) as usual_gap,
        case
            when known.own_gap is not null then 'own'
            when category_gaps.category_gap is not null then 'category'
            when overall_gaps.overall_gap is not null then 'all'
        end as usual_gap_basis
    from known
    left join category_gaps
        on
            known.cutoff_date = category_gaps.cutoff_date
            and known.main_category_name = category_gaps.main_category_name
    left join overall_gaps on known.cutoff_date = overall_gaps.cutoff_date

),

-- Exact numbers on both sides, so that a customer exactly at a threshold is told the same everywhere. Who was not
-- known for a month before the recent one has no usual month; who never interacts is judged by the silence alone.
judged as (

    select
        *,
        coalesce(
            days_since_last_order >= {{ var('playbook_silence_factor') }} * cast(usual_gap as decimal(12, 3))
            and prior_days >= {{ recent }}
            and interaction_count_30d * prior_days
            <= {{ var('playbook_interaction_factor') }} * {{ recent }} * interaction_count_before,
            false
        ) as is_playbook_churn_risk
    from paced

),

features as (

    select
        cutoff_date,
        customer_id,
        cast(order_count as bigint) as order_count,
        days_since_last_order,
        tenure_days as days_since_first_order,
        cast(frequency_days as bigint) as frequency_days,
        recency_days,
        tenure_days,
        {{ ratio('repeat_exact_amount', 'frequency_days') }} as monetary_value,
        {{ half_even('spend_exact_amount') }} as spend_amount,
        {{ half_even('spend_90d_exact_amount') }} as spend_90d_amount,
        {{ half_even('spend_180d_exact_amount') }} as spend_180d_amount,
        {{ half_even('spend_365d_exact_amount') }} as spend_365d_amount,
        cast(order_count_90d as bigint) as order_count_90d,
        cast(order_count_180d as bigint) as order_count_180d,
        cast(order_count_365d as bigint) as order_count_365d,
        {{ ratio('sales_exact_amount', 'order_count') }} as average_order_amount,
        {{ ratio('gap_sum', 'frequency_days') }} as average_days_between_orders,
        case
            when frequency_days > 1
                then sqrt(
                    {{ ratio(
                        '(frequency_days * gap_square_sum - gap_sum * gap_sum)',
                        '(frequency_days * (frequency_days - 1))'
                    ) }}
                )
        end as days_between_orders_stddev,
        {{ half_even('refund_exact_amount') }} as refund_amount,
        {{ ratio('100 * refund_exact_amount', 'sales_exact_amount') }} as refund_share_pct,
        cast(product_count as bigint) as product_count,
        {{ ratio('sale_line_count', 'order_count') }} as average_lines_per_order,
        {{ half_even('last_order_exact_amount') }} as last_order_amount,
        cast(median_gap as double) as median_days_between_orders,
        cast(same_season_order_count as bigint) as order_count_same_season,
        {{ ratio('100 * discount_exact_amount', 'gross_exact_amount') }} as discount_share_pct,
        {{ half_even('refund_180d_exact_amount') }} as refund_180d_amount,
        cast(coalesce(channel_count, 0) as bigint) as channel_count,
        cast(coalesce(category_count, 0) as bigint) as category_count,
        {%- for measure, windows in windowed %}
            {%- for days in windows %}
                cast({{ measure }}_count_{{ days }}d as bigint) as {{ measure }}_count_{{ days }}d,
            {%- endfor %}
        {%- endfor %}
        cast(active_day_count_30d as bigint) as active_day_count_30d,
        cast(active_day_count_90d as bigint) as active_day_count_90d,
        cast(days_since_last_interaction as integer) as days_since_last_interaction,
        case
            when prior_days >= {{ recent }} then {{ ratio(recent ~ ' * interaction_count_before', 'prior_days') }}
        end as interaction_monthly_mean,
        main_category_name,
        cast(usual_gap as double) as usual_days_between_orders,
        usual_gap_basis,
        is_playbook_churn_risk,
        case when is_labelled then cast(order_count_after as bigint) end as label_order_count,
        case when is_labelled then {{ half_even('spend_after_exact_amount') }} end as label_spend_amount,
        case when is_labelled_for_a_year then cast(order_count_year_after as bigint) end as label_year_order_count,
        case when is_labelled_for_a_year then {{ half_even('spend_year_after_exact_amount') }} end
            as label_year_spend_amount
    from judged

)

select * from features
{% endmacro %}


{# Sum of a value over the rows that meet a condition; 0 when none does. #}
{% macro sum_when(condition, value) -%}
    sum(case when {{ condition }} then coalesce({{ value }}, 0) else 0 end)
{%- endmacro %}


{# A quotient in double precision of two exact numbers; null instead of a division by 0. #}
{% macro ratio(numerator, denominator) -%}
    case when {{ denominator }} <> 0 then cast({{ numerator }} as double) / cast({{ denominator }} as double) end
{%- endmacro %}


{# Models are trained once a month: on what was over at the end of the month before as_of. #}
{% macro training_as_of() -%}
    {{ last_day_of_previous_month(as_of()) }}
{%- endmacro %}
