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
