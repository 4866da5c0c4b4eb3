{#
  The two incremental shapes; everything that is stepped uses one of them. Neither needs MERGE.

  replace_days  rows of the business dates in `days` (a query of one date column) give way to those of `sql`
  replace_keys  rows whose `key` is in `keys` (a query of one column) give way to those of `sql`

  The rows are computed before anything is deleted, so `sql` and the query may read the table itself.
#}
{% macro replace_days(target, sql, days) %}
    {{ return(adapter.dispatch('replace_rows')(target, sql, 'business_date', days)) }}
{% endmacro %}


{% macro replace_keys(target, sql, key, keys) %}
    {{ return(adapter.dispatch('replace_rows')(target, sql, key, keys)) }}
{% endmacro %}


{#
  Inside the query of a model with the shape replace_keys, while it is stepped: the keys that give way. They are
  found once, before the rows are computed; where there is no such table they are asked for again.
#}
{% macro keys_to_replace() -%}
    {{ return(adapter.dispatch('keys_to_replace')()) }}
{%- endmacro %}

{% macro default__keys_to_replace() -%}
    select chosen_value from {{ this.identifier }}__gone
{%- endmacro %}

{% macro spark__keys_to_replace() -%}
    {{ context[config.require('keys')]() }}
{%- endmacro %}


{% macro default__replace_rows(target, sql, column, chosen) %}
    {%- set rows = target.identifier ~ '__rows' -%}
    {%- set gone = target.identifier ~ '__gone' -%}
    create or replace temporary table {{ gone }} as
        select distinct chosen.* from ({{ chosen }}) as chosen (chosen_value);
    create or replace temporary table {{ rows }} as {{ sql }};
    delete from {{ target }} where {{ column }} in (select chosen_value from {{ gone }});
    insert into {{ target }} by name select * from {{ rows }};
    drop table {{ rows }};
    drop table {{ gone }}
{% endmacro %}


{# The table is partitioned by the column; partitions that get no row any more are dropped by name. #}
{% macro spark__replace_rows(target, sql, column, chosen) %}
    {%- set columns = adapter.get_columns_in_relation(target) | map(attribute='name') | list -%}
    {%- set ordered = (columns | reject('equalto', column) | list) + [column] -%}
    {%- set gone = run_query(chosen).columns[0].values() | unique | list -%}
    create or replace temporary view {{ target.identifier }}__rows as {{ sql }}
    {%- for value in gone %};;
    alter table {{ target }} drop if exists partition ({{ column }} = {{ sql_text(value) }})
    {%- endfor -%};;
    set spark.sql.sources.partitionOverwriteMode = dynamic;;
    insert overwrite table {{ target }} partition ({{ column }})
    select {{ ordered | join(', ') }} from {{ target.identifier }}__rows
{% endmacro %}
