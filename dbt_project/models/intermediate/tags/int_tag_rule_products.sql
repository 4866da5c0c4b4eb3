-- The products a rule is about, so that an event finds its rules by its sku. One row per rule and product.
with

rules as (select * from {{ ref('int_tag_rules') }}),

products as (select * from {{ ref('dim_products') }}),

final as (

    select
        rules.rule_id,
        rules.rule_kind,
        rules.signal,
        rules.without_purchase_of,
        products.sku
    from rules
    inner join products
        on
            (rules.category_name is null or {{ is_in_list('products.category_name', 'rules.category_name') }})
            and (rules.is_premium is null or rules.is_premium = coalesce(products.is_premium, false))
            and (
                rules.product_words is null
                or {{ matches_pattern('lower(products.product_name)', 'lower(rules.product_words)') }}
            )
    where rules.has_product_filter

)

select * from final
