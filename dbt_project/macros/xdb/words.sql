{# Words in a text. #}

{# The text in lower case with one blank for whatever is no letter and no digit, blanks around it; no apostrophes. #}
{% macro words_of(text) -%}
    {{ return(adapter.dispatch('words_of')(text)) }}
{%- endmacro %}

{% macro default__words_of(text) -%}
    ' ' || regexp_replace(
        replace(replace(lower({{ text }}), '''', ''), '’', ''), '[^\p{L}\p{N}]+', ' ', 'g'
    ) || ' '
{%- endmacro %}

{% macro spark__words_of(text) -%}
    ' ' || regexp_replace(
        replace(replace(lower({{ text }}), "'", ''), '’', ''), '[^\\p{L}\\p{N}]+', ' '
    ) || ' '
{%- endmacro %}


{# How often the one text stands in the other, side by side. #}
{% macro times_in(needle, hay) -%}
    cast((length({{ hay }}) - length(replace({{ hay }}, {{ needle }}, ''))) / length({{ needle }}) as integer)
{%- endmacro %}
