{{ config(materialized='view') }}

-- What accounts did that tag rules may ask for, in one shape. One row per account, day, signal and product or word,
-- not always put together yet: int_customer_signals does that.
with

product_days as (select * from {{ ref('fct_product_days') }}),

cart_days as (select * from {{ ref('fct_cart_days') }}),

favourite_days as (select * from {{ ref('fct_favourite_days') }}),

live_days as (select * from {{ ref('fct_live_days') }}),

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

documents as (select * from {{ ref('int_order_documents') }}),

store_visits as (select * from {{ ref('stg_store_visits') }}),

community_posts as (select * from {{ ref('stg_community_posts') }}),

tickets as (select * from {{ ref('stg_tickets') }}),

reviews as (select * from {{ ref('stg_reviews') }}),

contact_tags as (select * from {{ ref('stg_contact_tags') }}),

text_intents as (select * from {{ ref('int_text_intents') }}),

-- The header knows best whose order it is; a header alone says that something was bought.
purchases as (

    select
        documents.channel,
        documents.source_customer_id,
        documents.business_date,
        documents.ordered_at,
        order_lines.sku
    from documents
    inner join order_lines
        on documents.channel = order_lines.channel and documents.order_id = order_lines.order_id
    where order_lines.is_sale and order_lines.item_class = 'product'
    union all
    select
        channel,
        source_customer_id,
        business_date,
        ordered_at,
        cast(null as varchar) as sku
    from documents
    where document_kind = 'sale' and not has_lines

),

signals as (

    {{ tag_signal('product_days', 'product_viewed', 'first_viewed_at', 'last_viewed_at', sku='sku') }}
    union all
    {{ tag_signal('cart_days', 'cart_added', 'last_added_at', sku='sku') }}
    union all
    {{ tag_signal('cart_days', 'cart_removed', 'last_removed_at', sku='sku') }}
    union all
    {{ tag_signal('favourite_days', 'favourite_added', 'last_added_at', sku='sku') }}
    union all
    {{ tag_signal('favourite_days', 'favourite_removed', 'last_removed_at', sku='sku') }}
    union all
    {{ tag_signal('live_days', 'live_entered', 'first_event_at', 'last_event_at') }}
    union all
    {{ tag_signal('purchases', 'purchased', 'ordered_at', sku='sku') }}
    union all
    {{ tag_signal('store_visits', 'store_visited', 'visited_at') }}
    union all
    {{ tag_signal('store_visits', 'store_left', 'visited_at', condition='not is_purchase') }}
    union all
    {{ tag_signal('community_posts', 'question_asked', 'posted_at', condition="post_kind = 'question'") }}
    union all
    {{ tag_signal('community_posts', 'community_posted', 'posted_at') }}
    union all
    {{ tag_signal('tickets', 'ticket_opened', 'opened_at', subject='ticket_kind') }}
    union all
    {{ tag_signal('reviews', 'review_written', 'reviewed_at', subject='cast(rating as varchar)') }}
    union all
    {{ tag_signal('text_intents', 'text_intent', 'written_at', subject='intent', detail='pattern_id') }}
    union all
    {{ tag_signal('contact_tags', 'guide_tag', 'occurred_at', subject='tag_name', condition="action = 'added'") }}
    union all
    {{ tag_signal(
        'contact_tags', 'guide_tag_removed', 'occurred_at', subject='tag_name', condition="action = 'removed'"
    ) }}

)

select * from signals
