-- Reviews, surveys and how they sound. One row per customer who gave either.
with

source_customers as (select * from {{ ref('source_customers') }}),

reviews as (

    select
        source_customers.customer_id,
        reviews.review_id,
        reviews.rating,
        reviews.business_date,
        row_number() over (
            partition by source_customers.customer_id
            order by reviews.reviewed_at desc, reviews.feed_channel, reviews.review_id
        ) as recency_place
    from {{ ref('stg_reviews') }} as reviews
    inner join source_customers
        on
            reviews.channel = source_customers.channel
            and reviews.source_customer_id = source_customers.source_customer_id

),

review_sums as (

    select
        customer_id,
        count(*) as review_count,
        {{ ratio('sum(rating)', 'count(rating)') }} as average_rating,
        {{ count_when('rating <= ' ~ var('low_rating_until')) }} as low_rating_count,
        max(case when recency_place = 1 then rating end) as last_rating,
        max(business_date) as last_review_date
    from reviews
    group by customer_id

),

answers as (

    select
        source_customers.customer_id,
        answers.survey_kind,
        answers.score,
        answers.business_date,
        row_number() over (
            partition by source_customers.customer_id, answers.survey_kind
            order by answers.answered_at desc, answers.feed_channel, answers.answer_id
        ) as recency_place
    from {{ ref('stg_survey_answers') }} as answers
    inner join source_customers
        on
            answers.channel = source_customers.channel
            and answers.source_customer_id = source_customers.source_customer_id

),

survey_sums as (

    select
        customer_id,
        count(*) as survey_answer_count,
        max(case when survey_kind = 'nps' and recency_place = 1 then score end) as nps_score,
        max(case when survey_kind = 'nps' then business_date end) as last_nps_date,
        max(case when survey_kind = 'csat' and recency_place = 1 then score end) as csat_score,
        max(case when survey_kind = 'csat' then business_date end) as last_csat_date
    from answers
    group by customer_id

),

sentiments as (

    select
        source_customers.customer_id,
        count(*) as sentiment_statement_count,
        {{ ratio('sum(statements.sentiment_score)', 'count(*)') }} as sentiment_score
    from {{ ref('int_statement_sentiments') }} as statements
    inner join source_customers
        on
            statements.channel = source_customers.channel
            and statements.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

),

-- Whoever is in `sentiments` gave a review or an answer.
customers as (

    select customer_id from review_sums
    union distinct
    select customer_id from survey_sums

),

final as (

    select
        customers.customer_id,
        review_sums.review_count,
        review_sums.average_rating,
        review_sums.low_rating_count,
        review_sums.last_rating,
        review_sums.last_review_date,
        survey_sums.survey_answer_count,
        survey_sums.nps_score,
        case
            when survey_sums.nps_score >= {{ var('nps_promoter_from') }} then 'promoter'
            when survey_sums.nps_score <= {{ var('nps_detractor_until') }} then 'detractor'
            when survey_sums.nps_score is not null then 'passive'
        end as nps_class,
        survey_sums.last_nps_date,
        survey_sums.csat_score,
        survey_sums.last_csat_date,
        sentiments.sentiment_statement_count,
        sentiments.sentiment_score,
        case
            when sentiments.sentiment_score >= {{ var('sentiment_class_from') }} then 'positive'
            when sentiments.sentiment_score <= -{{ var('sentiment_class_from') }} then 'negative'
            when sentiments.sentiment_score is not null then 'neutral'
        end as sentiment_class
    from customers
    left join review_sums on customers.customer_id = review_sums.customer_id
    left join survey_sums on customers.customer_id = survey_sums.customer_id
    left join sentiments on customers.customer_id = sentiments.customer_id

)

select * from final
