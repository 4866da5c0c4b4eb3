{# Rows of numbers, and quantiles. #}

{# A relation of one column, `number`: the whole numbers from the first to the last. #}
{% macro whole_numbers(first, last) -%}
    {{ return(adapter.dispatch('whole_numbers')(first, last)) }}
{%- endmacro %}

{% macro default__whole_numbers(first, last) -%}
    (select cast(range as integer) as number from range({{ first | int }}, {{ last | int + 1 }})) as whole_numbers
{%- endmacro %}

{% macro spark__whole_numbers(first, last) -%}
    (select cast(id as int) as number from range({{ first | int }}, {{ last | int + 1 }})) as whole_numbers
{%- endmacro %}

{# The quantile of a number, between two values in proportion; an aggregate that may also be a window. #}
{% macro quantile_of(value, share) -%}
    {{ return(adapter.dispatch('quantile_of')(value, share)) }}
{%- endmacro %}

{% macro default__quantile_of(value, share) -%}
    quantile_cont({{ value }}, {{ share }})
{%- endmacro %}

{% macro spark__quantile_of(value, share) -%}
    percentile({{ value }}, {{ share }})
{%- endmacro %}

{# The whole number nearest to a number above zero, halves upwards. #}
{% macro nearest_whole(value) -%}
    cast(floor({{ value }} + 0.5) as integer)
{%- endmacro %}
