{%- set ways = ['email', 'sms', 'wecom', 'push'] -%}
{%- set kinds = ['delivered', 'opened', 'clicked', 'failed', 'unsubscribed'] -%}

-- What became of the messages the shop sent. One row per customer who was sent one. The way is the channel that told
-- of the message; a message opened twice counts once.
with

source_customers as (select * from {{ ref('source_customers') }}),

messages as (

    select
        channel,
        source_customer_id,
        feed_channel,
        message_id,
        {%- for kind in kinds %}
            max(case when receipt_kind = '{{ kind }}' then 1 else 0 end) as is_{{ kind }},
        {%- endfor %}
        max(case when receipt_kind = 'opened' then business_date end) as last_opened_date,
        max(case when receipt_kind = 'clicked' then business_date end) as last_clicked_date,
        min(business_date) as first_date
    from {{ ref('stg_message_receipts') }}
    where source_customer_id is not null
    group by channel, source_customer_id, feed_channel, message_id

),

accounts as (

    select
        channel,
        source_customer_id,
        feed_channel,
        count(*) as message_count,
        {%- for kind in kinds %}
            sum(is_{{ kind }}) as {{ kind }}_count,
        {%- endfor %}
        sum(case when is_delivered + is_opened + is_clicked > 0 then 1 else 0 end) as reached_count,
        max(first_date) as last_message_date,
        max(last_opened_date) as last_opened_date,
        max(last_clicked_date) as last_clicked_date
    from messages
    group by channel, source_customer_id, feed_channel

),

final as (

    select
        source_customers.customer_id,
        cast(sum(accounts.message_count) as bigint) as message_count,
        {%- for kind in kinds %}
            cast(sum(accounts.{{ kind }}_count) as bigint) as message_{{ kind }}_count,
        {%- endfor %}
        -- Whoever opened a message got it, whether or not the provider says so.
        {{ ratio('100 * sum(accounts.opened_count)', 'sum(accounts.reached_count)') }} as message_open_rate_pct,
        {{ ratio('100 * sum(accounts.clicked_count)', 'sum(accounts.reached_count)') }} as message_click_rate_pct,
        {%- for way in ways %}
            cast(sum(case when accounts.feed_channel = '{{ way }}' then accounts.message_count else 0 end) as bigint)
                as {{ way }}_message_count,
            cast(sum(case when accounts.feed_channel = '{{ way }}' then accounts.opened_count else 0 end) as bigint)
                as {{ way }}_opened_count,
            cast(sum(case when accounts.feed_channel = '{{ way }}' then accounts.clicked_count else 0 end) as bigint)
                as {{ way }}_clicked_count,
        {%- endfor %}
        max(accounts.last_message_date) as last_message_date,
        max(accounts.last_opened_date) as last_opened_date,
        max(accounts.last_clicked_date) as last_clicked_date
    from accounts
    inner join source_customers
        on
            accounts.channel = source_customers.channel
            and accounts.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

)

select * from final
