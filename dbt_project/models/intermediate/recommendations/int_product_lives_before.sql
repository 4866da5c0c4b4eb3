{{ product_lives_at(as_of_plus(-(var('recommendation_quality_days') | int))) }}

select * from final
