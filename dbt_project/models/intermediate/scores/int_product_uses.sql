-- As what a product is used up, or what it uses up itself. One row per product of a use group.
with

products as (

    select
        sku,
        product_name,
        category_name
    from {{ ref('dim_products') }}
    where item_class = 'product'

),

rules as (select * from {{ ref('replenishment_lives') }}),

listings as (

    select
        sku,
        replenish_days,
        row_number() over (partition by sku order by known_at desc, channel) as listing_place
    from {{ ref('stg_products') }}
    where replenish_days is not null

),

-- 0 says that it is not used up.
declared as (

    select
        sku,
        replenish_days as declared_life_days
    from listings
    where listing_place = 1 and replenish_days > 0

),

matched as (

    select
        products.sku,
        rules.use_group,
        rules.kind,
        row_number() over (partition by products.sku order by rules.priority) as rule_place
    from products
    inner join rules
        on
            (
                rules.match_on = 'product_name'
                and {{ matches_pattern('lower(products.product_name)', 'rules.words') }}
            )
            or (
                rules.match_on = 'category_name'
                and {{ is_in_list('lower(products.category_name)', 'rules.words') }}
            )

),

-- What no rule names but the catalogue declares is used up as its category.
final as (

    select
        products.sku,
        coalesce(matched.use_group, products.category_name) as use_group,
        coalesce(matched.kind, 'consumable') as kind,
        declared.declared_life_days
    from products
    left join matched on products.sku = matched.sku and matched.rule_place = 1
    left join declared on products.sku = declared.sku
    where
        matched.use_group is not null
        or (declared.declared_life_days is not null and products.category_name is not null)

)

select * from final
