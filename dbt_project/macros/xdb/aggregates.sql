{# Aggregates the engines spell differently. All are exact and none depends on the order of rows. #}

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
