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


{# {entity: [file]} of the parts this attempt reads: the new ones, or every active one (then without names). #}
{% macro parts_to_read() %}
    {%- set found = {} -%}
    {%- if not execute -%}{{ return(found) }}{%- endif -%}
    {%- for row in run_query(
        'select entity, file_sha256 from ' ~ ref('stg_parts') ~ ' where is_active'
        ~ (' and not is_staged' if is_stepping() else '') ~ ' order by part_number'
    ).rows -%}
        {%- do found.setdefault(row[0], []) -%}
        {%- if is_stepping() -%}{% do found[row[0]].append(row[1]) %}{%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{#
  One query per entity of `found`, joined by `union all`; the caller writes it from the entity and its files.
  With nothing to read it is one query of no rows, so that names and types stay.
#}
{% macro per_entity(found) %}
    {%- for entity, files in (found or {'order_lines': none}).items() %}
        {{- caller(entity, files) }}
        {%- if not loop.last %}
        union all
        {% endif %}
    {%- endfor %}
{% endmacro %}


{# Makes dbt know that a model may read every entity, whichever it reads tonight. #}
{% macro reads_every_entity() %}
    {%- for entity in staged_entities() -%}{% do source('conformed', entity) %}{%- endfor -%}
{% endmacro %}


{# Condition on a record of the parts, for the engine's statistics; the join with stg_parts is exact. #}
{% macro is_in_files(files) -%}
    {%- if files is none -%}
        false
    {%- elif not files -%}
        true
    {%- else -%}
        records.file_sha256 in ({% for file in files | unique %}{{ sql_text(file) }}{{ ', ' if not loop.last }}{% endfor %})
    {%- endif -%}
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
