-- Customers who bought A, by what their purchase days say about "then B": how many days they had, how many of these
-- were followed by B, how many were days of A, and how many of those were followed by B; apart for the days with a B in
-- the window before ("recent"), because B itself brings the next B. Customers who never bought B are in
-- int_sequence_totals. One row per pair of categories, window, period and such a set of counts.
with

steps as (select * from {{ ref('int_sequence_steps') }}),

category_days as (select * from {{ ref('int_sequence_days') }}),

windows as (

    {{ sequence_windows() }}

),

placed as (

    select
        steps.customer_id,
        steps.business_date,
        steps.then_category,
        windows.within_days,
        {{ sequence_period('steps.business_date', 'windows.within_days') }} as period,
        case
            when {{ days_between('steps.previous_date', 'steps.business_date') }} <= windows.within_days then 1 else 0
        end as is_recent,
        case when {{ days_between('steps.business_date', 'steps.next_date') }} <= windows.within_days then 1 else 0 end
            as is_followed
    from steps
    cross join windows

),

observed as (

    select *
    from placed
    where period is not null

),

all_days as (

    select
        customer_id,
        then_category,
        within_days,
        period,
        sum(1 - is_recent) as plain_day_count,
        sum((1 - is_recent) * is_followed) as plain_followed_count,
        sum(is_recent) as recent_day_count,
        sum(is_recent * is_followed) as recent_followed_count
    from observed
    group by customer_id, then_category, within_days, period

),

first_days as (

    select
        observed.customer_id,
        category_days.category_name as first_category,
        observed.then_category,
        observed.within_days,
        observed.period,
        sum(1 - observed.is_recent) as plain_first_count,
        sum((1 - observed.is_recent) * observed.is_followed) as plain_first_followed_count,
        sum(observed.is_recent) as recent_first_count,
        sum(observed.is_recent * observed.is_followed) as recent_first_followed_count
    from observed
    inner join category_days
        on
            observed.customer_id = category_days.customer_id
            and observed.business_date = category_days.business_date
    group by
        observed.customer_id,
        category_days.category_name,
        observed.then_category,
        observed.within_days,
        observed.period

),

-- Counts that change no figure are made equal, so that many customers share a row: days of a kind without any A, and
-- further days where none was followed.
customers as (

    select
        first_days.first_category,
        first_days.then_category,
        first_days.within_days,
        first_days.period,
        {%- for kind in ['plain', 'recent'] %}
            case
                when first_days.{{ kind }}_first_count = 0 then 0
                when all_days.{{ kind }}_followed_count = 0 then first_days.{{ kind }}_first_count
                else all_days.{{ kind }}_day_count
            end as {{ kind }}_day_count,
            case when first_days.{{ kind }}_first_count = 0 then 0 else all_days.{{ kind }}_followed_count end
                as {{ kind }}_followed_count,
            first_days.{{ kind }}_first_count,
            first_days.{{ kind }}_first_followed_count
            {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from first_days
    inner join all_days
        on
            first_days.customer_id = all_days.customer_id
            and first_days.then_category = all_days.then_category
            and first_days.within_days = all_days.within_days
            and first_days.period = all_days.period

),

final as (

    select
        first_category,
        then_category,
        within_days,
        period,
        {%- for kind in ['plain', 'recent'] %}
            cast({{ kind }}_day_count as bigint) as {{ kind }}_day_count,
            cast({{ kind }}_followed_count as bigint) as {{ kind }}_followed_count,
            cast({{ kind }}_first_count as bigint) as {{ kind }}_first_count,
            cast({{ kind }}_first_followed_count as bigint) as {{ kind }}_first_followed_count,
        {%- endfor %}
        count(*) as customer_count
    from customers
    group by
        first_category,
        then_category,
        within_days,
        period,
        {%- for kind in ['plain', 'recent'] %}
            {{ kind }}_day_count,
            {{ kind }}_followed_count,
            {{ kind }}_first_count,
            {{ kind }}_first_followed_count
            {%- if not loop.last %},{% endif %}
        {%- endfor %}

)

select * from final
