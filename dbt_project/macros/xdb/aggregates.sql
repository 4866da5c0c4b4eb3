{# Aggregates the engines spell differently. All are exact and none depends on the order of rows. #}

{# The median, between the two middle values where their number is even; null where there is no value. #}
{% macro median_of(value) -%}
    {{ return(adapter.dispatch('median_of')(value)) }}
{%- endmacro %}

{% macro default__median_of(value) -%}
    quantile_cont({{ value }}, 0.5)
{%- endmacro %}

{% macro spark__median_of(value) -%}
    percentile({{ value }}, 0.5)
{%- endmacro %}

{# The value of the row with the largest key; rows whose key is null do not count. Neither may be null otherwise. #}
{% macro value_at_largest(value, key) -%}
    {{ return(adapter.dispatch('value_at_largest')(value, key)) }}
{%- endmacro %}

{% macro default__value_at_largest(value, key) -%}
    arg_max({{ value }}, {{ key }})
{%- endmacro %}

{% macro spark__value_at_largest(value, key) -%}
    max_by({{ value }}, {{ key }})
{%- endmacro %}
