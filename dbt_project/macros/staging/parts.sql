{#
  Which parts a model reads. Only their records are new; the file hashes are written out as literals, so
  that the engine skips every other Parquet file by its statistics.
#}

{# Parts of the base, as `staged_parts` keeps them; nothing before the first finished staging. #}
{% macro staged_before() %}
    {%- set relation = staged_parts_before() -%}
    {%- if relation is not none %}
    select part_number, entity, feed, file_sha256, contract_hash, inbox_seq from {{ relation }}
    {%- else %}
    select
        cast(null as integer) as part_number,
        cast(null as varchar) as entity,
        cast(null as varchar) as feed,
        cast(null as varchar) as file_sha256,
        cast(null as varchar) as contract_hash,
        cast(null as bigint) as inbox_seq
    where false
    {%- endif %}
{% endmacro %}


{% macro staged_parts_before() %}
    {%- if not execute or should_full_refresh() or step_state().base == 0 -%}{{ return(none) }}{%- endif -%}
    {{ return(adapter.get_relation(database=this.database, schema='staging', identifier='staged_parts')) }}
{% endmacro %}


{# {entity: [{number, file}]} of the parts this attempt must read: the new ones, or every active one. #}
{% macro parts_to_read(only_new) %}
    {%- set found = {} -%}
    {%- if not execute -%}{{ return(found) }}{%- endif -%}
    {%- for row in run_query(
        'select entity, part_number, file_sha256 from ' ~ ref('stg_parts') ~ ' where is_active'
        ~ (' and not is_staged' if only_new else '') ~ ' order by part_number'
    ).rows -%}
        {% do found.setdefault(row[0], []).append({'number': row[1] | int, 'file': row[2]}) %}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{# Condition on a record of the parts, for the engine's statistics; the join with stg_parts is exact. #}
{% macro in_files(files) -%}
    file_sha256 in ({% for file in files | unique %}{{ sql_text(file) }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}


{# Part numbers a table kept by part gives up: new ones (also those of a dead attempt) and those taken out. #}
{% macro parts_to_replace() -%}
    select distinct part_number from {{ this }}
    where part_number not in (select part_number from {{ ref('stg_parts') }} where is_staged)
{%- endmacro %}


{# End of the business day the base was staged at; none before the first finished staging. #}
{% macro staged_end_at() %}
    {%- if not execute or should_full_refresh() -%}{{ return(none) }}{%- endif -%}
    {{ return(step_state().base_end_at) }}
{% endmacro %}
