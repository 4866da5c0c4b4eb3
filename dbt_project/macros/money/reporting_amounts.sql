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


{# The smallest amount a currency is paid in (ISO 4217): sums rounded to it may differ by one without a mistake. #}
{% macro smallest_coin(currency) -%}
    case
        when {{ currency }} in (
            'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF', 'XPF'
        ) then 1
        when {{ currency }} in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 0.001
        else 0.01
    end
{%- endmacro %}
