{# Money in the reporting currency: null in any other one until rates are known, never 0. #}
{% macro in_reporting_currency(amount, currency='currency') -%}
    case when {{ currency }} = '{{ setting("reporting_currency") }}' then {{ amount }} end
{%- endmacro %}


{# The amount where the condition holds, else 0; null where the amount is unknown. #}
{% macro amount_when(condition, amount) -%}
    cast(case when {{ condition }} then {{ amount }} when {{ amount }} is not null then 0 end as decimal(36, 9))
{%- endmacro %}
