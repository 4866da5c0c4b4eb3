{#
  Rows of one kind of touch, in the shape every touch has. Only the account and the moment must be there;
  what a kind does not have stays null.

  relation, entity    where the rows come from, and the entity they are records of
  touch_kind, key     SQL: what happened, and what tells two touches of the entity and kind apart
  occurred_at         SQL: when; `business_date` is the day of it
  amount, currency    SQL: money of the touch, rounded half to even
  label               SQL: a few words made of codes and numbers, never of what somebody wrote
  touched             in a stepped table: is_touched('<instant>', '<day>'), asked once for all kinds
  also                further columns: {name: SQL}
#}
{% macro touch_rows(
    relation, entity, touch_kind, key, occurred_at,
    business_date='business_date', account='source_customer_id', feed_channel='feed_channel',
    reference_id='cast(null as varchar)', sku='cast(null as varchar)', touch_count='1',
    amount=none, currency='currency', label='cast(null as varchar)', touched='true', also={}
) -%}
select
    channel,
    {{ account }} as source_customer_id,
    {{ occurred_at }} as occurred_at,
    {{ business_date }} as business_date,
    {{ touch_kind }} as touch_kind,
    '{{ entity }}' as entity,
    {{ feed_channel }} as feed_channel,
    {{ reference_id }} as reference_id,
    {{ sku }} as sku,
    {{ touch_count }} as touch_count,
    {% if amount -%} {{ half_even(amount) }} {%- else -%} cast(null as decimal(18, 2)) {%- endif %} as amount,
    {% if amount -%} {{ currency }} {%- else -%} cast(null as varchar) {%- endif %} as currency,
    {{ label }} as label,
    concat_ws('|', '{{ entity }}', {{ feed_channel }}, {{ key }}, {{ touch_kind }}) as touch_id
    {%- for name, value in also.items() %},
    {{ value }} as {{ name }}
    {%- endfor %}
from {{ relation }}
where
    {{ account }} is not null
    and {{ occurred_at }} is not null
    and {{ touched | replace('<instant>', occurred_at) | replace('<day>', business_date) }}
{%- endmacro %}


{# The columns every touch has, in their order. #}
{% macro touch_columns() -%}
    channel, source_customer_id, occurred_at, business_date, touch_kind, entity, feed_channel, reference_id, sku,
    touch_count, amount, currency, label, touch_id
{%- endmacro %}


{# Events somebody does with a product; the others are looks, which the timeline counts by day. #}
{% macro is_deed(event_type) -%}
    {{ event_type }} in (
        'cart_added', 'cart_removed', 'favourite_added', 'favourite_removed', 'checkout_started', 'share', 'check_in'
    )
{%- endmacro %}
