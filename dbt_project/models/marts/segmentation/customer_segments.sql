with

tiers as (select * from {{ ref('rfm_tiers') }}),

scene_tags as (

    select
        customer_id,
        tag as scene_tag,
        since_at
    from {{ ref('customer_tags') }}
    where tag_kind = 'scene'

),

final as (

    select
        tiers.customer_id,
        tiers.rfm_tier,
        coalesce(scene_tags.scene_tag, 'no_scene') as scene_tag,
        tiers.rfm_tier || ':' || coalesce(scene_tags.scene_tag, 'no_scene') as segment,
        scene_tags.since_at as scene_since_at,
        tiers.order_count_in_window,
        tiers.spend_amount_in_window,
        tiers.currency
    from tiers
    left join scene_tags on tiers.customer_id = scene_tags.customer_id

)

select * from final
