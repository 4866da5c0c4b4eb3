{# Text functions the engines spell differently. #}

{# Whether a regular expression is found anywhere in a text; null is found nowhere. #}
{% macro matches_pattern(text, pattern) -%}
    {{ return(adapter.dispatch('matches_pattern')(text, pattern)) }}
{%- endmacro %}

{% macro default__matches_pattern(text, pattern) -%}
    coalesce(regexp_matches({{ text }}, {{ pattern }}), false)
{%- endmacro %}

{% macro spark__matches_pattern(text, pattern) -%}
    coalesce({{ text }} rlike {{ pattern }}, false)
{%- endmacro %}

{# Whether a word is one of those in a list with `separator` between them. #}
{% macro is_in_list(word, list, separator='|') -%}
    coalesce(position('{{ separator }}' || {{ word }} || '{{ separator }}'
    in '{{ separator }}' || {{ list }} || '{{ separator }}') > 0, false)
{%- endmacro %}
