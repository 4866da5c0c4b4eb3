{# Condition on a row of a model: a column whose meta names the models that will fill it has a value already. #}
{% macro any_reserved_is_filled(model_name) -%}
    {%- set filled = ['false'] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == model_name -%}
            {%- for column in node.columns.values() if column.meta.get('filled_by') -%}
                {%- do filled.append(column.name ~ ' is not null') -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(filled | join(' or ')) }}
{%- endmacro %}
