{# Of columns `<prefix>_<number>_count` the number whose count is largest, the first of equals. #}
{% macro first_largest(prefix, numbers) -%}
    {%- set columns = [] -%}
    {%- for number in numbers -%}{%- do columns.append(prefix ~ '_' ~ number ~ '_count') -%}{%- endfor -%}
    case greatest({{ columns | join(', ') }})
    {%- for number in numbers %}
        when {{ columns[loop.index0] }} then {{ number }}
    {%- endfor %}
    end
{%- endmacro %}
