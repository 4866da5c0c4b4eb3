{{ recommendations_at(
    as_of_plus(-(var('recommendation_quality_days') | int)), ref('int_product_lives_before'), only_popular=false
) }}

select
    customer_id,
    recommendation_rank,
    sku
from recommended
