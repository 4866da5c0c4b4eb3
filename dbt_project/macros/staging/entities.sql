{#
  Every entity whose records are staged, and the moment or day that places a record in time:

  event_at    column with the instant it happened; a record is seen from that moment on
  event_on    column with the day it is for, where the source gives no moment; seen from that day on
  placed_at   expression of the instant whose day it touches, where it says nothing about visibility:
              an account or a catalogue entry is there as soon as it is known

  Consents are no part of it: the ledger keeps each event once, and clear contacts stay out of here.
#}
{% macro staged_entities() %}
    {{ return({
        'order_lines': {'event_at': 'ordered_at'},
        'orders': {'event_at': 'ordered_at'},
        'refunds': {'event_at': 'refunded_at'},
        'accounts': {'placed_at': 'coalesce(registered_at, known_at)'},
        'contact_tags': {'event_at': 'occurred_at'},
        'identity_pairs': {'event_at': 'reviewed_at'},
        'privacy_requests': {'event_at': 'requested_at'},
        'legacy_customers': {'placed_at': 'coalesce(registered_at, known_at)'},
        'events': {'event_at': 'occurred_at'},
        'store_visits': {'event_at': 'visited_at'},
        'community_posts': {'event_at': 'posted_at'},
        'device_usage': {'event_at': 'measured_at'},
        'tickets': {'event_at': 'opened_at'},
        'ticket_messages': {'event_at': 'sent_at'},
        'reviews': {'event_at': 'reviewed_at'},
        'survey_answers': {'event_at': 'answered_at'},
        'products': {'placed_at': 'known_at'},
        'stock_levels': {'event_at': 'counted_at'},
        'shipments': {'event_at': 'shipped_at'},
        'message_receipts': {'event_at': 'occurred_at'},
        'coupon_events': {'event_at': 'occurred_at'},
        'points_events': {'event_at': 'occurred_at'},
        'referrals': {'event_at': 'invited_at'},
        'marketing_spend': {'event_on': 'spent_on'},
        'exchange_rates': {'event_on': 'rate_date'},
        'weather_alerts': {'event_at': 'issued_at'},
    }) }}
{% endmacro %}


{# The instant a record of the entity happened; none where it only becomes known. #}
{% macro event_instant(entity) %}
    {%- set place = staged_entities()[entity] -%}
    {%- if place.event_at %}{{ return(place.event_at) }}{% endif -%}
    {%- if place.event_on %}{{ return('cast(' ~ place.event_on ~ ' as timestamp)') }}{% endif -%}
    {{ return(none) }}
{% endmacro %}


{# The business day a record of the entity touches. #}
{% macro touched_date(entity) %}
    {%- set place = staged_entities()[entity] -%}
    {{ return(place.event_on or to_business_date(place.event_at or place.placed_at)) }}
{% endmacro %}


{# The instant from which a record of the entity is seen: known, and where it has an event, happened. #}
{% macro visible_at(entity) %}
    {%- set place = staged_entities()[entity] -%}
    {%- if place.event_at %}{{ return('greatest(known_at, ' ~ place.event_at ~ ')') }}{% endif -%}
    {%- if place.event_on %}{{ return('greatest(known_at, ' ~ local_midnight_at(place.event_on) ~ ')') }}{% endif -%}
    {{ return('known_at') }}
{% endmacro %}
