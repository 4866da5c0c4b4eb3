{# Spans between instants, and parts of a day, which the engines count differently. #}

{# Seconds from one instant to another, with their fraction cut off. #}
{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch('seconds_between')(earlier, later)) }}
{%- endmacro %}

{% macro default__seconds_between(earlier, later) -%}
    ((epoch_us({{ later }}) - epoch_us({{ earlier }})) // 1000000)
{%- endmacro %}

{% macro spark__seconds_between(earlier, later) -%}
    cast((unix_micros({{ later }}) - unix_micros({{ earlier }})) div 1000000 as bigint)
{%- endmacro %}

{# Number of the weekday: Monday is 1, Sunday 7. #}
{% macro weekday_number(day) -%}
    {{ return(adapter.dispatch('weekday_number')(day)) }}
{%- endmacro %}

{% macro default__weekday_number(day) -%}
    cast(extract(isodow from {{ day }}) as integer)
{%- endmacro %}

{% macro spark__weekday_number(day) -%}
    cast(weekday({{ day }}) + 1 as int)
{%- endmacro %}
