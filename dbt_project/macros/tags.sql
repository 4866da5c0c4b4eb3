{# Shared by the rule kinds of tags: see docs/tags.md. #}

{#
  Whether a rule has come true at a place of a run: `placed` has one row per customer, rule, run and place; the
  place `min_count` - 1 before it must lie within the window. `from_at` is the last moment of the first one: what is
  bought after it counts as bought in between.
#}
{% macro places_reached(placed, rules) %}
    select
        placed.customer_id,
        placed.rule_id,
        placed.subject_sku,
        starts.business_date as from_date,
        starts.last_at as from_at,
        placed.business_date as on_date,
        placed.detail
    from {{ placed }} as placed
    inner join {{ rules }} as rules on placed.rule_id = rules.rule_id
    inner join {{ placed }} as starts
        on
            placed.customer_id = starts.customer_id
            and placed.rule_id = starts.rule_id
            and placed.subject_sku = starts.subject_sku
            and placed.run_key = starts.run_key
            and placed.place - rules.min_count + 1 = starts.place
    where
        rules.window_days is null
        or {{ days_between('starts.business_date', 'placed.business_date') }} < rules.window_days
{% endmacro %}


{#
  Spells: what overlaps or touches is one. The rule is that of the firing that began it, so that a later one does not
  change it. `firings` has fired_date and ends_date (the first day without the tag, null for never), and one row per
  customer, rule and fired_date: a tie would be ordered in two ways.
#}
{% macro merged_spells(firings) %}
    select
        customer_id,
        tag,
        min(fired_date) as since_date,
        case
            when count(ends_date) = count(*) then max(ends_date)
        end as until_date,
        max(case when is_start = 1 then rule_id end) as rule_id
    from (
        select
            *,
            sum(is_start) over (
                partition by customer_id, tag
                order by fired_date, rule_id
                rows between unbounded preceding and current row
            ) as spell_number
        from (
            select
                *,
                case
                    when
                        fired_date <= max(coalesce(ends_date, cast('9999-12-31' as date))) over (
                            partition by customer_id, tag
                            order by fired_date, rule_id
                            rows between unbounded preceding and 1 preceding
                        )
                        then 0
                    else 1
                end as is_start
            from {{ firings }}
        ) as marked
    ) as numbered
    group by customer_id, tag, spell_number
{% endmacro %}


{# Rows of one kind in the shape every signal has: who, when, with which product or word. #}
{% macro tag_signal(
    relation, signal, first_at, last_at=none, sku='cast(null as varchar)', subject='cast(null as varchar)',
    detail='cast(null as varchar)', condition='true'
) -%}
select
    channel,
    source_customer_id,
    business_date,
    '{{ signal }}' as signal,
    {{ sku }} as sku,
    {{ subject }} as subject,
    {{ detail }} as detail,
    {{ first_at }} as first_at,
    {{ last_at or first_at }} as last_at
from {{ relation }}
where source_customer_id is not null and {{ first_at }} is not null and {{ condition }}
{%- endmacro %}


{# Why somebody has a tag, in codes, dates and words of the rule: nothing anybody wrote. #}
{% macro tag_evidence(fired, rules) -%}
    concat_ws(
        ', ',
        case
            when {{ rules }}.rule_kind = 'profile'
                then concat('age ', coalesce(cast({{ rules }}.age_from as varchar), '0'), ' to ',
                    coalesce(cast({{ rules }}.age_to as varchar), 'any'))
            when {{ rules }}.rule_kind = 'consecutive_days'
                then concat(cast({{ rules }}.min_count as varchar), ' days ', cast({{ fired }}.from_date as varchar),
                    '..', cast({{ fired }}.on_date as varchar))
            when {{ rules }}.min_count = 1
                then concat({{ rules }}.signal, ' ', cast({{ fired }}.on_date as varchar))
            else
                concat(cast({{ rules }}.min_count as varchar), ' x ', {{ rules }}.signal, ' ',
                    cast({{ fired }}.from_date as varchar), '..', cast({{ fired }}.on_date as varchar))
        end,
        {{ rules }}.category_name,
        case when {{ rules }}.is_premium then 'premium' end,
        {{ rules }}.product_words,
        {{ rules }}.match_text,
        nullif({{ fired }}.subject_sku, ''),
        {{ fired }}.detail,
        case
            when {{ rules }}.without_purchase_of is not null
                then concat('not bought by ', cast({{ fired }}.fired_date as varchar))
        end
    )
{%- endmacro %}


{# Signals that cancel or end what another one began; a purchase may end any. #}
{% macro ending_signals() -%}
    select cast(null as varchar) as asked_signal, 'purchased' as ending_signal
    union all select 'cart_added', 'cart_removed'
    union all select 'favourite_added', 'favourite_removed'
    union all select 'guide_tag', 'guide_tag_removed'
{%- endmacro %}
