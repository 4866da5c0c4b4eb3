{#
  How a staging model reads its entity: the records a model at as_of sees, one per id.

      with current_events as ({{ current_records('events') }}) …

  All columns of the conformed part. What places an entity in time stands in `staged_entities()`
  (entities.sql); `event_at` may be given for the reader's sake and must be the same.

  A model of the bulk entities stays a view on the Parquet parts: the few repeats that do not count are
  taken out by their place in the file, so neither ids nor contents are read. A filter on the event column
  goes down to the Parquet statistics.

  A table that is stepped by business date (see macros/xdb/stepwise.sql) is written like this:

      config(materialized='stepwise', shape='replace_days', touched_by=['events', 'orders'])
      … from stg_events where {{ is_touched('occurred_at') }} and {{ is_in_time() }}

  Every branch that reads another entity carries the same condition on its own instant. The day in the table
  must be called business_date and be the day of that instant (`to_business_date`).
#}
{% macro current_records(entity, event_at=none) %}
    {%- if event_at and event_at != staged_entities()[entity].event_at -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ ": " ~ entity ~ " happens at " ~ staged_entities()[entity].event_at ~ ", not at " ~ event_at
        ) }}
    {%- endif -%}
    {#- A left join: `not exists` makes DuckDB keep a copy of all records first, at five times the cost. -#}
    select records.*
    from {{ source('conformed', entity) }} as records
    left join (
        select
            feed,
            file_sha256,
            record_number
        from {{ ref('stg_repeats') }}
        where entity = '{{ entity }}' and not is_current
    ) as left_out
        on
            records.record_number = left_out.record_number
            and records.file_sha256 = left_out.file_sha256
            and records.feed = left_out.feed
    where
        left_out.record_number is null
        and {{ is_visible(entity) }}
{% endmacro %}


{# True for what was known at as_of: the delivery and, where there is one, the event are not after it. #}
{% macro is_visible(entity) -%}
    {%- set place = staged_entities()[entity] -%}
    known_at < {{ as_of_end_at() }}
    {%- if place.event_at %} and {{ place.event_at }} < {{ as_of_end_at() }}{% endif -%}
    {%- if place.event_on %} and {{ place.event_on }} <= {{ as_of() }}{% endif -%}
{%- endmacro %}
