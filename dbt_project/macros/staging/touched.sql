{# Attempts whose days are done: those of the base and before. Days of dead attempts stay until one ends well. #}
{% macro finished_attempts() -%}
    select distinct attempt from {{ this }} where attempt <= {{ step_state().base }} or attempt = {{ step_state().attempt }}
{%- endmacro %}


{# The days of these entities that a stepped table replaces. #}
{% macro touched_days(entities) -%}
    select distinct business_date from {{ ref('stg_touched_days') }}
    where entity in ('{{ entities | join("', '") }}')
{%- endmacro %}


{#
  Condition on the instant a record happened: true for every record where the table is made anew, else for the
  records of the touched days. Written as ranges of literal instants, so that the engine skips Parquet row
  groups; far more touched days than ranges are told apart by the day itself.
#}
{% macro is_touched(instant, date_column='business_date') %}
    {%- do ref('stg_touched_days') -%}
    {%- if not is_stepping() -%}{{ return('true') }}{%- endif -%}
    {%- set max_ranges = 40 -%}
    {%- if 'touched_ranges' not in model -%}
        {%- set days = touched_days(config.require('touched_by')) -%}
        {% do model.update({'touched_ranges': run_query(touched_ranges(days, max_ranges)).rows}) %}
    {%- endif -%}
    {%- set ranges = model['touched_ranges'] -%}
    {%- if not ranges -%}{{ return('false') }}{%- endif -%}
    {%- set written = [] -%}
    {%- for row in ranges -%}
        {% do written.append(
            '(' ~ instant ~ ' >= ' ~ sql_instant(row[0]) ~ ' and ' ~ instant ~ ' < ' ~ sql_instant(row[1]) ~ ')'
        ) %}
    {%- endfor -%}
    {%- set condition = '(' ~ written | join(' or ') ~ ')' -%}
    {%- if ranges | length == max_ranges -%}
        {%- set condition = condition ~ ' and ' ~ date_column ~ ' in (' ~ touched_days(config.require('touched_by')) ~ ')' -%}
    {%- endif -%}
    {{ return(condition) }}
{% endmacro %}


{# Neighbouring days as one range each; with more than `max_ranges` the nearest ones are joined over their gaps. #}
{% macro touched_ranges(days, max_ranges) %}
    with

    days as (

        select
            business_date,
            {{ days_between('lag(business_date) over (order by business_date)', 'business_date') }} as gap_days
        from ({{ days }}) as touched
        where business_date is not null

    ),

    ranked as (

        select
            *,
            row_number() over (order by gap_days desc nulls first, business_date) as gap_place
        from days

    ),

    numbered as (

        select
            business_date,
            sum(case when gap_days is null or (gap_days > 1 and gap_place <= {{ max_ranges }}) then 1 else 0 end)
                over (order by business_date) as range_number
        from ranked

    )

    select
        cast({{ local_midnight_at('min(business_date)') }} as varchar) as starts_at,
        cast({{ local_midnight_at(add_days('max(business_date)', 1)) }} as varchar) as ends_at
    from numbered
    group by range_number
    order by starts_at
{% endmacro %}


{#
  Rollups keep a record that came within the declared look-back after it happened (or, where the source counts
  versions, after that version was made; a delivery that is its own version is always in time). The same rule in a
  full build and in a step: what comes later is left out of both and counted in ops.late_records.
#}
{% macro is_in_time(event_at='occurred_at') -%}
    known_at < {{ due_at(event_at) }} + {{ interval_of_days(var('late_lookback_days')) }}
{%- endmacro %}


{% macro due_at(event_at) -%}
    coalesce(source_version, {{ event_at }})
{%- endmacro %}


{# Place of the record among the limits of var late_bucket_days; null for entities that have no moment. #}
{% macro late_bucket(entity) %}
    {%- set place = staged_entities()[entity] -%}
    {%- if place.placed_at -%}{{ return('cast(null as integer)') }}{%- endif -%}
    {%- set due = due_at(place.event_at or local_midnight_at(place.event_on)) -%}
    {%- set cases = [] -%}
    {%- for days in late_limits() -%}
        {% do cases.append('when known_at < ' ~ due ~ ' + ' ~ interval_of_days(days) ~ ' then ' ~ loop.index0) %}
    {%- endfor -%}
    {{ return('case ' ~ cases | join(' ') ~ ' else ' ~ cases | length ~ ' end') }}
{% endmacro %}


{# Limits in days, ascending; the look-back is one of them. #}
{% macro late_limits() %}
    {{ return((var('late_bucket_days') + [var('late_lookback_days')]) | unique | sort) }}
{% endmacro %}
