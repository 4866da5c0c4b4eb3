{{ config(materialized='view') }}

with

current_survey_answers as (

    {{ current_records('survey_answers', event_at='answered_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        answer_id,
        source_customer_id,
        survey_kind,
        score,
        comment_text,
        order_id,
        answered_at,
        {{ to_business_date('answered_at') }} as business_date
    from current_survey_answers

)

select * from final
