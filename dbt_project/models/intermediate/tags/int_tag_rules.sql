-- The rules that run in this shop, their empty cells filled in. One row per rule.
with

rules as (select * from {{ ref('tag_rules') }}),

packs as (select * from {{ ref('industry_packs') }}),

final as (

    select
        rules.rule_id,
        rules.tag,
        rules.tag_kind,
        rules.rule_kind,
        rules.signal,
        rules.category_name,
        rules.is_premium,
        rules.product_words,
        rules.category_name is not null
        or rules.is_premium is not null
        or rules.product_words is not null as has_product_filter,
        rules.match_text,
        coalesce(rules.min_count, 1) as min_count,
        rules.window_days,
        rules.without_purchase_of,
        coalesce(rules.without_purchase_days, 0) as wait_days,
        rules.requires_tag,
        rules.replaces,
        rules.ttl_days,
        rules.age_from,
        rules.age_to
    from rules
    left join packs on rules.industry = packs.industry
    where rules.industry is null or packs.is_enabled

)

select * from final
