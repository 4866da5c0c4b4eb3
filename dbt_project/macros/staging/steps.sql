{#
  How the warehouse knows what it has staged, and what must be done again.

  A run that reads new parts makes an *attempt*: `stg_parts` (first model of the chain) numbers it. When all
  stepped tables are done, `staged_parts` (last model) writes down which parts they hold: the attempt is now
  the *base* of the next one. A part counts as staged only then. A run that died left an attempt without an
  end: the next one starts from the same base, and every table before it is replaced by part, key or day, so
  the same parts are staged again. All of it lives in the warehouse file: without the file nothing is staged.

  `step_notes` has one row per table and attempt. A table may be stepped if it was written in the base attempt
  or in any attempt that started from it; from there on `stg_touched_days` knows every day that changed,
  those of dead attempts included.

  A part that is no longer active (its mapping changed, it was replayed) is taken out by itself: its rows stay
  until the attempt is over, unseen by every model, so that the days and keys it held are known to be touched.
#}
{% macro step_notes() %}
    {{ return(api.Relation.create(database=target.database, schema='staging', identifier='step_notes')) }}
{% endmacro %}


{# Hook at the start of every run of dbt. #}
{% macro create_step_notes() %}
    {% do run_query('create schema if not exists ' ~ step_notes().without_identifier()) %}
    {% do run_query(
        'create table if not exists ' ~ step_notes() ~ ' (table_name ' ~ dbt.type_string() ~ ', attempt integer,'
        ~ ' base_attempt integer, settings_key ' ~ dbt.type_string() ~ ', is_full boolean, as_of_end_at timestamp)'
    ) %}
{% endmacro %}


{#
  Where the stepping stands: number of the attempt under way, of its base (0: nothing is staged), the end of
  the business day the base was staged at, and the notes of all attempts since.
#}
{% macro step_state() %}
    {#- `model` lives as long as one node is compiled or run: a model asks many times, the warehouse is asked once. -#}
    {%- if 'step_state' not in model -%}{% do model.update({'step_state': read_step_state()}) %}{%- endif -%}
    {{ return(model['step_state']) }}
{% endmacro %}


{% macro read_step_state() %}
    {%- set state = {'attempt': 0, 'base': 0, 'base_end_at': none, 'end_at': none, 'notes': []} -%}
    {#- The table is there from the start of a run; other commands of dbt build nothing. -#}
    {%- if not execute or flags.WHICH not in ('run', 'build', 'test') -%}{{ return(state) }}{%- endif -%}
    {%- for row in run_query(
        'select table_name, attempt, base_attempt, settings_key, is_full, cast(as_of_end_at as varchar),'
        ~ ' cast(' ~ as_of_end_at() ~ ' as varchar) from ' ~ step_notes() ~ ' order by attempt'
    ).rows -%}
        {% do state.update(end_at=row[6]) %}
        {%- if row[0] == 'stg_parts' -%}{% do state.update(attempt=row[1] | int) %}{%- endif -%}
        {%- if row[0] == 'staged_parts' -%}
            {% do state.update(base=row[1] | int, base_end_at=row[5]) %}
        {%- endif -%}
        {% do state.notes.append({
            'table': row[0], 'attempt': row[1] | int, 'base': row[2] | int, 'key': row[3],
            'is_full': row[4], 'end_at': row[5]
        }) %}
    {%- endfor -%}
    {{ return(state) }}
{% endmacro %}


{# What a table's content depends on beside its sources; when it differs the table is made anew. #}
{% macro settings_key() %}
    {{ return(local_md5([
        model.checksum.checksum, env_var('CRM_DBT_CODE', ''), setting('business_timezone'),
        setting('reporting_currency'), var('late_lookback_days'), var('session_gap_minutes')
    ] | join(' '))) }}
{% endmacro %}


{# Whether this model replaces some days or keys of its table, or makes the table anew. #}
{% macro is_stepping() %}
    {%- if 'is_stepping' not in model -%}{% do model.update({'is_stepping': may_step()}) %}{%- endif -%}
    {{ return(model['is_stepping']) }}
{% endmacro %}


{% macro may_step() %}
    {%- if not execute or config.get('shape') == 'whole' or should_full_refresh() -%}{{ return(false) }}{%- endif -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- if existing is none or not existing.is_table -%}{{ return(false) }}{%- endif -%}
    {%- set state = step_state() -%}
    {%- if state.base == 0 -%}{{ return(false) }}{%- endif -%}
    {%- set parents = stepwise_parents() -%}
    {%- set verdict = namespace(own=false, blocked=false, parents_seen=[]) -%}
    {%- for note in state.notes if note.attempt == state.base or note.base == state.base -%}
        {%- if note.end_at > state.end_at -%}{% set verdict.blocked = true %}{%- endif -%}
        {%- if note.table == this.identifier -%}
            {%- set verdict.own = true -%}
            {%- if note.key != settings_key() -%}{% set verdict.blocked = true %}{%- endif -%}
        {%- endif -%}
        {%- if note.table in parents and note.attempt == state.attempt -%}
            {% do verdict.parents_seen.append(note.table) %}
        {%- endif -%}
        {#- Also in an attempt that died: nobody knows any more which keys the table held before. -#}
        {%- if note.table in parents and note.base == state.base and note.is_full -%}
            {% set verdict.blocked = true %}
        {%- endif -%}
    {%- endfor -%}
    {{ return(verdict.own and not verdict.blocked and (verdict.parents_seen | unique | list | length) == (parents | length)) }}
{% endmacro %}


{# Stepped tables this model reads directly. #}
{% macro stepwise_parents() %}
    {%- set names = [] -%}
    {%- for unique_id in model.depends_on.nodes -%}
        {%- set node = graph.nodes.get(unique_id) -%}
        {%- if node and node.config.materialized == 'stepwise' and node.config.get('shape') != 'whole' -%}
            {% do names.append(node.name) %}
        {%- endif -%}
    {%- endfor -%}
    {{ return(names | unique | list) }}
{% endmacro %}


{# Written in the same transaction as the table. #}
{% macro note_step(is_full) %}
    {%- set state = step_state() -%}
    {%- set attempt = state.attempt + 1 if this.identifier == 'stg_parts' else state.attempt -%}
    insert into {{ step_notes() }} values (
        '{{ this.identifier }}', {{ attempt }}, {{ state.base }}, '{{ settings_key() }}', {{ is_full }}, {{ as_of_end_at() }}
    )
    {%- if this.identifier == 'staged_parts' -%}{{ forget_notes_before(state.attempt) }}{%- endif -%}
{% endmacro %}


{# Notes of attempts that are over are never read again; an engine that cannot delete rows may keep them. #}
{% macro forget_notes_before(attempt) -%}
    {{ return(adapter.dispatch('forget_notes_before')(attempt)) }}
{%- endmacro %}

{% macro default__forget_notes_before(attempt) -%}
    ; delete from {{ step_notes() }} where attempt < {{ attempt }}
{%- endmacro %}

{% macro spark__forget_notes_before(attempt) -%}
{%- endmacro %}


{# Refuses a stepped table the last model of the chain does not wait for. #}
{% macro check_chain_is_complete() %}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.config.materialized == 'stepwise' and node.config.get('shape') != 'whole' -%}
            {%- if node.unique_id not in model.depends_on.nodes -%}
                {{ exceptions.raise_compiler_error(
                    'staged_parts does not wait for ' ~ node.name ~ ": add it to the list at the top of models/ops/staged_parts.sql"
                ) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
