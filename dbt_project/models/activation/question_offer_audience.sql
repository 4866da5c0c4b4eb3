with

source_customers as (select * from {{ ref('source_customers') }}),

products as (select * from {{ ref('dim_products') }}),

offers as (select * from {{ ref('outreach_offers') }}),

posts as (

    select *
    from {{ ref('stg_community_posts') }}
    where post_kind = 'question' and {{ is_still_kept('business_date', 'question_offer') }}

),

candidates as (

    select
        source_customers.customer_id,
        posts.feed_channel,
        posts.post_id,
        posts.sku,
        posts.posted_at as triggered_at,
        concat(posts.feed_channel, ' ', posts.post_id) as occurrence
    from posts
    inner join source_customers
        on
            posts.channel = source_customers.channel
            and posts.source_customer_id = source_customers.source_customer_id

),

conversions as (

    {{ orders_since('candidates') }}

),

-- Nobody is offered what is not there: such a question is answered without naming the product.
final as (

    select
        candidates.customer_id,
        candidates.occurrence,
        candidates.triggered_at,
        'marketing' as purpose,
        conversions.converted_at,
        candidates.post_id,
        products.product_name
    from candidates
    left join offers on candidates.sku = offers.sku and offers.available_quantity >= 1
    left join products on offers.sku = products.sku
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence

)

select * from final
