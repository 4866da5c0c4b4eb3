-- What people meant by what they wrote, by the patterns of a lexicon. The text stays in staging: only the intent and
-- the pattern that told it go on. One row per text and intent.
with

community_posts as (select * from {{ ref('stg_community_posts') }}),

tickets as (select * from {{ ref('stg_tickets') }}),

reviews as (select * from {{ ref('stg_reviews') }}),

lexicon as (select * from {{ ref('intent_lexicon') }}),

texts as (

    select
        channel,
        source_customer_id,
        business_date,
        posted_at as written_at,
        'community_posts' as entity,
        feed_channel,
        post_id as reference_id,
        lower(post_text) as written_text
    from community_posts
    where post_kind <> 'answer'
    union all
    select
        channel,
        source_customer_id,
        business_date,
        opened_at as written_at,
        'tickets' as entity,
        feed_channel,
        ticket_id as reference_id,
        lower(subject_text) as written_text
    from tickets
    union all
    select
        channel,
        source_customer_id,
        business_date,
        reviewed_at as written_at,
        'reviews' as entity,
        feed_channel,
        review_id as reference_id,
        lower(review_text) as written_text
    from reviews

),

-- One expression per intent decides; which pattern it was is asked only of the texts it found.
intents as (

    select
        intent,
        {{ joined_texts("case when not is_negation then '(' || pattern || ')' end", "'|'", 'pattern_id') }}
            as wanted_pattern,
        {{ joined_texts("case when is_negation then '(' || pattern || ')' end", "'|'", 'pattern_id') }}
            as negated_pattern
    from lexicon
    group by intent

),

hinted as (

    select
        texts.channel,
        texts.source_customer_id,
        texts.business_date,
        texts.written_at,
        texts.entity,
        texts.feed_channel,
        texts.reference_id,
        intents.intent,
        {{ without_pattern('texts.written_text', 'intents.negated_pattern') }} as remaining_text
    from texts
    inner join intents on {{ matches_pattern('texts.written_text', 'intents.wanted_pattern') }}
    where texts.source_customer_id is not null

),

final as (

    select
        hinted.channel,
        hinted.source_customer_id,
        hinted.business_date,
        hinted.written_at,
        hinted.entity,
        hinted.feed_channel,
        hinted.reference_id,
        hinted.intent,
        min(lexicon.pattern_id) as pattern_id
    from hinted
    inner join lexicon
        on
            hinted.intent = lexicon.intent
            and not lexicon.is_negation
            and {{ matches_pattern('hinted.remaining_text', 'lexicon.pattern') }}
    group by
        hinted.channel,
        hinted.source_customer_id,
        hinted.business_date,
        hinted.written_at,
        hinted.entity,
        hinted.feed_channel,
        hinted.reference_id,
        hinted.intent

)

select * from final
