{# Types the engines spell differently. #}

{# A record id (32 hexadecimal characters) in 16 bytes: half the room, same order, same on every engine. #}
{% macro record_key(record_id) -%}
    unhex({{ record_id }})
{%- endmacro %}

{# A literal that is compared, from a value a query returned. #}
{% macro sql_text(value) -%}
    '{{ value | string | replace("'", "''") }}'
{%- endmacro %}

{% macro sql_instant(value) -%}
    cast({{ sql_text(value) }} as timestamp)
{%- endmacro %}

{# Whole seconds from one instant to another. #}
{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch('seconds_between')(earlier, later)) }}
{%- endmacro %}

{% macro default__seconds_between(earlier, later) -%}
    date_diff('second', {{ earlier }}, {{ later }})
{%- endmacro %}

{% macro spark__seconds_between(earlier, later) -%}
    (unix_timestamp({{ later }}) - unix_timestamp({{ earlier }}))
{%- endmacro %}
