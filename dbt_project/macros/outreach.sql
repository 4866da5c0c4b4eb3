{# What audiences of journeys share. #}

{# Whether a day lies so few days back that the journey still looks at it (`kept_days` of journey_windows). #}
{% macro is_still_kept(day, journey) -%}
    {{ days_between(day, as_of()) }} < {{ journey_window(journey, 'kept_days') }}
{%- endmacro %}

{# The first paid order of each candidate, through any account, since the fact that triggered the journey. #}
{% macro orders_since(candidates) %}
    select
        {{ candidates }}.customer_id,
        {{ candidates }}.occurrence,
        min(paid_orders.ordered_at) as converted_at
    from {{ candidates }}
    inner join {{ ref('int_paid_orders') }} as paid_orders
        on
            {{ candidates }}.customer_id = paid_orders.customer_id
            and {{ candidates }}.triggered_at <= paid_orders.ordered_at
    group by {{ candidates }}.customer_id, {{ candidates }}.occurrence
{% endmacro %}
