{# The days sequence rules are counted in: whole months only, so that every night of a month counts the same. #}

{# The last month end that is over at as_of; as_of itself when it is one. #}
{% macro sequences_until() -%}
    {{ last_day_of_previous_month(as_of_plus(1)) }}
{%- endmacro %}

{# The last day rules are searched in; what comes after it only tests them. #}
{% macro sequences_discovered_until() -%}
    {{ add_days(sequences_until(), -(var('sequence_holdout_days') | int)) }}
{%- endmacro %}

{#
  Which part of the history a day belongs to as the start of a window; null when the window is not over by the end of
  its part: such a day has not had its chance, and a day before the hold-out must not look into it.
#}
{% macro sequence_period(day, within_days) -%}
    case
        when {{ add_days(day, within_days) }} <= {{ sequences_discovered_until() }} then 'discovery'
        when {{ day }} <= {{ sequences_discovered_until() }} then null
        when {{ add_days(day, within_days) }} <= {{ sequences_until() }} then 'holdout'
    end
{%- endmacro %}

{# The windows to try, as rows. #}
{% macro sequence_windows() -%}
    {%- for days in var('sequence_windows') %}
        select cast({{ days | int }} as integer) as within_days
        {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{%- endmacro %}
