{#
  What a touch and the record that tells its account have in common; int_linked_touches is stepped by it.

  A link is touched when a record of it is new on a touched day, when one that was on a touched day is known by it,
  or when its order changed.
#}
{% macro link_of_order(relation='') -%}
    concat_ws('|', 'order', {{ column_of(relation, 'channel') }}, {{ column_of(relation, 'order_id') }})
{%- endmacro %}

{% macro link_of_ticket(relation='') -%}
    concat_ws('|', 'ticket', {{ column_of(relation, 'feed_channel') }}, {{ column_of(relation, 'ticket_id') }})
{%- endmacro %}

{% macro link_of_referral(relation='') -%}
    concat_ws('|', 'referral', {{ column_of(relation, 'feed_channel') }}, {{ column_of(relation, 'referral_id') }})
{%- endmacro %}

{% macro column_of(relation, column) -%}
    {{ relation ~ '.' if relation }}{{ column }}
{%- endmacro %}


{# Further columns of a touch, for touch_rows. #}
{% macro linked_by(link, linked_date='cast(null as date)') %}
    {{ return({'link_key': link, 'record_date': 'business_date', 'linked_date': linked_date}) }}
{% endmacro %}


{% macro is_touched_link(link) -%}
    {%- if is_stepping() -%}{{ link }} in ({{ keys_to_replace() }}){%- else -%}true{%- endif -%}
{%- endmacro %}


{% macro touched_links() %}
    {%- set days = touched_days(config.require('touched_by')) %}
    select {{ link_of_order() }} as link_key from {{ ref('int_orders_touched') }}
    {%- for entity, link, instant in [
        ('refunds', link_of_order(), 'refunded_at'),
        ('shipments', link_of_order(), 'shipped_at'),
        ('tickets', link_of_ticket(), 'opened_at'),
        ('ticket_messages', link_of_ticket(), 'sent_at'),
        ('referrals', link_of_referral(), 'invited_at'),
    ] %}
    union all
    select {{ link }} from {{ ref('stg_' ~ entity) }} where {{ is_touched(instant) }}
    {%- endfor %}
    union all
    select link_key from {{ this }} where record_date in ({{ days }}) or linked_date in ({{ days }})
{% endmacro %}
