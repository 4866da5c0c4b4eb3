{# A number of seeds/journey_windows.csv, to be compared with a column. #}
{% macro journey_window(journey, setting) -%}
    (select number from {{ ref('journey_windows') }} where journey = '{{ journey }}' and setting = '{{ setting }}')
{%- endmacro %}
