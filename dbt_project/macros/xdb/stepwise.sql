{#
  The materialisation of a table that is stepped forward instead of built anew. A model says:

      config(materialized='stepwise', shape='replace_days', touched_by=['events'])
      config(materialized='stepwise', shape='replace_keys', key='record_key', keys='macro giving the query')

  and returns, while `is_stepping()`, only the rows of the days or keys that are replaced, else all rows.
  Both shapes are delete + insert in one transaction; done twice they give the same table. Whether a table
  may be stepped is written down per table (macros/staging/steps.sql): one that missed a step, was made by
  other code or other settings, or reads a table that was made anew, is made anew too.
#}
{% materialization stepwise, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set stepping = is_stepping() -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if stepping %}
        {% if config.get('contract').enforced %}{% do get_assert_columns_equivalent(sql) %}{% endif %}
        {% call statement('main') %}{{ step_sql(target, sql) }}; {{ note_step(false) }}{% endcall %}
    {% else %}
        {% if existing is not none %}{% do adapter.drop_relation(existing) %}{% endif %}
        {% call statement('main') %}
            {{ create_table_as(False, target, sql) }}; {{ note_step(true) }}
        {% endcall %}
    {% endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(target, model) %}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{# Spark has no transaction over tables: the note comes last, so a run that died in between builds anew. #}
{% materialization stepwise, adapter='spark' %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set stepping = is_stepping() -%}
    {{ run_hooks(pre_hooks) }}
    {% if stepping %}
        {% for statement_sql in step_sql(target, sql).split(';;') %}
            {% call statement('main' if loop.last else 'step_' ~ loop.index) %}{{ statement_sql }}{% endcall %}
        {% endfor %}
    {% else %}
        {% call statement('main') %}{{ create_table_as(False, target, sql) }}{% endcall %}
    {% endif %}
    {% call statement('note') %}{{ note_step(not stepping) }}{% endcall %}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{# The statements of the shape the model has chosen. #}
{% macro step_sql(target, sql) %}
    {%- set shape = config.require('shape') -%}
    {%- if shape == 'replace_days' -%}
        {{ return(replace_days(target, sql, touched_days(config.require('touched_by')))) }}
    {%- elif shape == 'replace_keys' -%}
        {{ return(replace_keys(target, sql, config.require('key'), context[config.require('keys')]())) }}
    {%- endif -%}
    {{ exceptions.raise_compiler_error(
        this.identifier ~ ": shape is " ~ shape ~ "; use replace_days, replace_keys, or 'whole' (never stepped)"
    ) }}
{% endmacro %}
