{{ recommendations_at(as_of(), ref('int_product_lives')) }},

products as (select * from {{ ref('dim_products') }}),

reasons as (select * from {{ ref('recommendation_reasons') }}),

final as (

    select
        recommended.customer_id,
        cast(recommended.recommendation_rank as integer) as recommendation_rank,
        recommended.sku,
        products.product_name,
        products.category_name,
        cast(recommended.score as double) as score,
        recommended.reason_code,
        reasons.reason_zh,
        reasons.reason_en,
        recommended.based_on_sku,
        based_on.product_name as based_on_product_name,
        recommended.based_on_category,
        {{ as_of() }} as as_of_date
    from recommended
    inner join products on recommended.sku = products.sku
    inner join reasons on recommended.reason_code = reasons.reason_code
    left join products as based_on on recommended.based_on_sku = based_on.sku

)

select * from final
