{{ recommendations_at(as_of_plus(-(var('recommendation_quality_days') | int)), only_popular=false) }}

select
    customer_id,
    recommendation_rank,
    sku
from recommended
