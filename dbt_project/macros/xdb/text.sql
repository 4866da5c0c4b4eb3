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

{# The text without anything a regular expression matches; without an expression the text itself. #}
{% macro without_pattern(text, pattern) -%}
    {{ return(adapter.dispatch('without_pattern')(text, pattern)) }}
{%- endmacro %}

{% macro default__without_pattern(text, pattern) -%}
    case when {{ pattern }} is null then {{ text }} else regexp_replace({{ text }}, {{ pattern }}, ' ', 'g') end
{%- endmacro %}

{% macro spark__without_pattern(text, pattern) -%}
    case when {{ pattern }} is null then {{ text }} else regexp_replace({{ text }}, {{ pattern }}, ' ') end
{%- endmacro %}

{# The texts of a group as one, in the order of a key, with a separator (SQL) between them. #}
{% macro joined_texts(text, separator, order_by) -%}
    {{ return(adapter.dispatch('joined_texts')(text, separator, order_by)) }}
{%- endmacro %}

{% macro default__joined_texts(text, separator, order_by) -%}
    string_agg({{ text }}, {{ separator }} order by {{ order_by }})
{%- endmacro %}

{% macro spark__joined_texts(text, separator, order_by) -%}
    listagg({{ text }}, {{ separator }}) within group (order by {{ order_by }})
{%- endmacro %}
