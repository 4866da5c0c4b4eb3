{# The first day by which so many per cent of those who come back have come back. #}
{% macro first_day_of(pct) -%}
    min(case when round(100 * returned_share - {{ pct }} * returning_share, 9) >= 0 then day_number end)
{%- endmacro %}
