{# Dates and zones. Instants are naive timestamps in UTC on every engine. #}

{# The local day of a UTC instant in the business zone. #}
{% macro to_business_date(instant) -%}
    cast({{ to_business_time(instant) }} as date)
{%- endmacro %}

{# The local wall clock of a UTC instant in the business zone. #}
{% macro to_business_time(instant) -%}
    {{ return(adapter.dispatch('to_business_time')(instant)) }}
{%- endmacro %}

{# A zone that never changes is an addition, ten times cheaper than asking the calendar for every row. #}
{% macro default__to_business_time(instant) -%}
    {%- if setting('utc_offset_minutes') -%}
        ({{ instant }} + interval '{{ setting("utc_offset_minutes") | int }}' minute)
    {%- else -%}
        ({{ instant }} at time zone 'UTC') at time zone '{{ setting("business_timezone") }}'
    {%- endif -%}
{%- endmacro %}

{% macro spark__to_business_time(instant) -%}
    from_utc_timestamp({{ instant }}, '{{ setting("business_timezone") }}')
{%- endmacro %}

{# The wall clock of a UTC instant in a zone that is a column. #}
{% macro to_zone_time(instant, zone) -%}
    {{ return(adapter.dispatch('to_zone_time')(instant, zone)) }}
{%- endmacro %}

{% macro default__to_zone_time(instant, zone) -%}
    ({{ instant }} at time zone 'UTC') at time zone {{ zone }}
{%- endmacro %}

{% macro spark__to_zone_time(instant, zone) -%}
    from_utc_timestamp({{ instant }}, {{ zone }})
{%- endmacro %}

{# The UTC instant of midnight at the start of a local day. #}
{% macro local_midnight_at(day) -%}
    {{ return(adapter.dispatch('local_midnight_at')(day)) }}
{%- endmacro %}

{% macro default__local_midnight_at(day) -%}
    {%- if setting('utc_offset_minutes') -%}
        (cast({{ day }} as timestamp) - interval '{{ setting("utc_offset_minutes") | int }}' minute)
    {%- else -%}
        (cast({{ day }} as timestamp) at time zone '{{ setting("business_timezone") }}') at time zone 'UTC'
    {%- endif -%}
{%- endmacro %}

{% macro spark__local_midnight_at(day) -%}
    to_utc_timestamp(cast({{ day }} as timestamp), '{{ setting("business_timezone") }}')
{%- endmacro %}

{# The day `days` after (before, when negative) a date. #}
{% macro add_days(day, days) -%}
    {{ return(adapter.dispatch('add_days')(day, days)) }}
{%- endmacro %}

{% macro default__add_days(day, days) -%}
    ({{ day }} + cast({{ days }} as integer))
{%- endmacro %}

{% macro spark__add_days(day, days) -%}
    date_add({{ day }}, cast({{ days }} as int))
{%- endmacro %}

{# Whole days from one date to another. #}
{% macro days_between(earlier, later) -%}
    {{ return(adapter.dispatch('days_between')(earlier, later)) }}
{%- endmacro %}

{% macro default__days_between(earlier, later) -%}
    cast({{ later }} - {{ earlier }} as integer)
{%- endmacro %}

{% macro spark__days_between(earlier, later) -%}
    datediff({{ later }}, {{ earlier }})
{%- endmacro %}

{# The last day of the month before a date. #}
{% macro last_day_of_previous_month(day) -%}
    {{ add_days(month_start(day), -1) }}
{%- endmacro %}

{# The first day of the month of `day`, some whole months on (back, when negative). #}
{% macro month_start(day, months=0) -%}
    {{ return(adapter.dispatch('month_start')(day, months)) }}
{%- endmacro %}

{% macro default__month_start(day, months) -%}
    cast(date_trunc('month', {{ day }}) + interval '{{ months | int }}' month as date)
{%- endmacro %}

{% macro spark__month_start(day, months) -%}
    add_months(cast(date_trunc('month', {{ day }}) as date), {{ months | int }})
{%- endmacro %}

{# A span of whole days of 24 hours, to be added to an instant. #}
{% macro interval_of_days(days) -%}
    interval '{{ days | int }}' day
{%- endmacro %}

{# A span of minutes, to be added to an instant. #}
{% macro interval_of_minutes(minutes) -%}
    interval '{{ minutes | int }}' minute
{%- endmacro %}

{# Number of the slot of so many minutes, counted from 1970 in UTC, an instant falls into. #}
{% macro slot_of(instant, minutes) -%}
    {{ return(adapter.dispatch('slot_of')(instant, minutes)) }}
{%- endmacro %}

{% macro default__slot_of(instant, minutes) -%}
    epoch_us({{ instant }}) // {{ minutes * 60 * 1000000 }}
{%- endmacro %}

{% macro spark__slot_of(instant, minutes) -%}
    cast(floor(unix_micros({{ instant }}) / {{ minutes * 60 * 1000000 }}) as bigint)
{%- endmacro %}

{# The first day of a year given as a number. #}
{% macro first_of_year(year) -%}
    cast(concat(cast({{ year }} as varchar), '-01-01') as date)
{%- endmacro %}

{# The day so many calendar months after (before, when negative) a date; the month's last day where it is shorter. #}
{% macro add_months(day, months) -%}
    {{ return(adapter.dispatch('add_months')(day, months)) }}
{%- endmacro %}

{% macro default__add_months(day, months) -%}
    cast({{ day }} + ({{ months }}) * interval '1' month as date)
{%- endmacro %}

{% macro spark__add_months(day, months) -%}
    add_months({{ day }}, cast({{ months }} as int))
{%- endmacro %}

{# Whole calendar months that have passed from one date to another. #}
{% macro months_passed(earlier, later) -%}
    {{ return(adapter.dispatch('months_passed')(earlier, later)) }}
{%- endmacro %}

{% macro default__months_passed(earlier, later) -%}
    cast(date_sub('month', {{ earlier }}, {{ later }}) as integer)
{%- endmacro %}

{% macro spark__months_passed(earlier, later) -%}
    cast(floor(months_between({{ later }}, {{ earlier }})) as int)
{%- endmacro %}

{# Half of the days from one date to another, rounded down. #}
{% macro half_of_days(earlier, later) -%}
    cast(floor({{ days_between(earlier, later) }} / 2) as integer)
{%- endmacro %}
