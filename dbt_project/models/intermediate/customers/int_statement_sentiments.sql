-- How a review or a comment on a survey sounds, -1 (all bad) to 1 (all good): what the stars say, what the words of the
-- lexicon say, the mean of both where both speak. One row per statement that says either; its words stay behind.
with

lexicon as (

    select
        term,
        polarity,
        case when term_language = 'en' then ' ' || term || ' ' else term end as needle
    from {{ ref('sentiment_lexicon') }}

),

-- `not good` holds `good`: a term inside a longer one counts only where it stands alone.
terms_inside as (

    select
        longer.term as longer_term,
        inner_terms.term as inner_term,
        {{ times_in('inner_terms.needle', 'longer.needle') }} as inside_count
    from lexicon as longer
    inner join lexicon as inner_terms
        on
            longer.needle <> inner_terms.needle
            and position(inner_terms.needle in longer.needle) > 0

),

statements as (

    select
        channel,
        source_customer_id,
        'reviews' as entity,
        feed_channel,
        review_id as statement_id,
        reviewed_at as said_at,
        business_date,
        (rating - 3) / 2.0 as star_score,
        review_text as statement_text
    from {{ ref('stg_reviews') }}
    where source_customer_id is not null

    union all

    select
        channel,
        source_customer_id,
        'survey_answers' as entity,
        feed_channel,
        answer_id as statement_id,
        answered_at as said_at,
        business_date,
        null as star_score,
        comment_text as statement_text
    from {{ ref('stg_survey_answers') }}
    where source_customer_id is not null and comment_text is not null

),

-- People write the same few words very often: every text is read once.
texts as (

    select
        statement_text,
        {{ words_of('statement_text') }} as words
    from statements
    where statement_text is not null
    group by statement_text

),

found as (

    select
        texts.statement_text,
        lexicon.term,
        lexicon.polarity,
        {{ times_in('lexicon.needle', 'texts.words') }} as found_count
    from texts
    inner join lexicon on position(lexicon.needle in texts.words) > 0

),

found_inside as (

    select
        found.statement_text,
        terms_inside.inner_term as term,
        sum(found.found_count * terms_inside.inside_count) as inside_count
    from found
    inner join terms_inside on found.term = terms_inside.longer_term
    group by found.statement_text, terms_inside.inner_term

),

text_words as (

    select
        found.statement_text,
        sum(case when found.polarity > 0 then found.found_count - coalesce(found_inside.inside_count, 0) else 0 end)
            as good_count,
        sum(case when found.polarity < 0 then found.found_count - coalesce(found_inside.inside_count, 0) else 0 end)
            as bad_count
    from found
    left join found_inside
        on
            found.statement_text = found_inside.statement_text
            and found.term = found_inside.term
    group by found.statement_text

),

scored as (

    select
        statements.channel,
        statements.source_customer_id,
        statements.entity,
        statements.feed_channel,
        statements.statement_id,
        statements.said_at,
        statements.business_date,
        cast(statements.star_score as double) as star_score,
        {{ ratio('(text_words.good_count - text_words.bad_count)', '(text_words.good_count + text_words.bad_count)') }}
            as word_score
    from statements
    left join text_words on statements.statement_text = text_words.statement_text

),

final as (

    select
        *,
        cast(
            case
                when star_score is not null and word_score is not null then (star_score + word_score) / 2
                else coalesce(star_score, word_score)
            end as decimal(9, 6)
        ) as sentiment_score
    from scored
    where star_score is not null or word_score is not null

)

select * from final
