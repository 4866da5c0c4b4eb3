{#
  Money in the reporting currency. Money in it already is taken as it is and looks no rate up; money in another one
  is multiplied by the rate of its day (int_reporting_rates), to nine digits. Without a rate it is null, never 0.
#}
{% macro in_reporting_currency(amount, currency='currency', rate='reporting_rate') -%}
    case
        when {{ currency }} = '{{ setting("reporting_currency") }}' then {{ amount }}
        else cast(cast({{ amount }} as decimal(36, 9)) * {{ rate }} as decimal(36, 9))
    end
{%- endmacro %}


{# The amount where the condition holds, else 0; null where the amount is unknown. #}
{% macro amount_when(condition, amount) -%}
    cast(case when {{ condition }} then {{ amount }} when {{ amount }} is not null then 0 end as decimal(36, 9))
{%- endmacro %}
