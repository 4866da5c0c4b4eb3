{#
  Features of every customer at each cut-off, from days up to the cut-off only; labels from the days after it.
  One text for training and for today: a feature cannot mean two things, and a leak would show in both.
  `cutoffs` is a relation with the column cutoff_date.
#}
{% macro customer_features_at(cutoffs, customer_days) %}
{%- set horizon = var('churn_horizon_days') -%}
with

panel as (

    select
        cutoffs.cutoff_date,
        customer_days.*,
        customer_days.business_date <= cutoffs.cutoff_date as is_known,
        {{ days_between('customer_days.business_date', 'cutoffs.cutoff_date') }} as age_days
    from {{ cutoffs }} as cutoffs
    inner join {{ customer_days }} as customer_days
        on customer_days.business_date <= {{ add_days('cutoffs.cutoff_date', horizon) }}

),

sums as (

    select
        cutoff_date,
        customer_id,
        {{ sum_when('is_known', 'order_count') }} as order_count,
        {{ sum_when('is_known', 'sale_line_count') }} as sale_line_count,
        {{ sum_when('is_known', 'new_product_count') }} as product_count,
        {{ sum_when('is_known', 'gross_exact_amount - discount_exact_amount') }} as sales_exact_amount,
        {{ sum_when('is_known', 'refund_exact_amount') }} as refund_exact_amount,
        {{ sum_when('is_known', 'net_exact_amount') }} as spend_exact_amount,
        {%- for days in [90, 180, 365] %}
            {{ sum_when('is_known and age_days < ' ~ days, 'net_exact_amount') }} as spend_{{ days }}d_exact_amount,
            {{ sum_when('is_known and age_days < ' ~ days, 'order_count') }} as order_count_{{ days }}d,
        {%- endfor %}
        {{ sum_when('is_known and purchase_day_number > 1', 'net_exact_amount') }} as repeat_exact_amount,
        {{ sum_when('is_known and purchase_day_number > 1', '1') }} as frequency_days,
        {{ sum_when('is_known', 'days_since_previous_purchase') }} as gap_sum,
        {{ sum_when('is_known', 'days_since_previous_purchase * days_since_previous_purchase') }} as gap_square_sum,
        min(case when is_known and order_count > 0 then business_date end) as first_order_date,
        max(case when is_known and order_count > 0 then business_date end) as last_order_date,
        {{ sum_when('not is_known', 'order_count') }} as order_count_after,
        {{ sum_when('not is_known', 'net_exact_amount') }} as spend_after_exact_amount
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
        {{ add_days('cutoff_date', horizon) }} <= {{ training_as_of() }} as is_labelled
    from sums
    where order_count > 0

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
        case when is_labelled then cast(order_count_after as bigint) end as label_order_count,
        case when is_labelled then {{ half_even('spend_after_exact_amount') }} end as label_spend_amount
    from customers

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
