{#
  The keys that more than one row of a model has, for many models in one query: a test node costs more than the
  grouping of a table. `keys` is {model: [columns of its key]}.
#}
{% macro rows_sharing_a_key(keys) -%}
    {%- for model_name, columns in keys.items() %}
        select
            '{{ model_name }}' as model_name,
            {{ concatenated_key(columns) }} as shared_key,
            count(*) as row_count
        from {{ ref(model_name) }}
        group by {{ columns | join(', ') }}
        having count(*) > 1
        {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{%- endmacro %}


{% macro concatenated_key(columns) -%}
    concat_ws('|'
    {%- for column in columns %}, cast({{ column }} as varchar){% endfor -%}
    )
{%- endmacro %}
