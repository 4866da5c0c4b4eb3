{#
  The products to recommend to each customer, as of a day: what others bought beside what the customer bought, the
  newer the more; the goods of a category that follows (sequence rules in force); the best sellers where places are
  left. Never what is not to be had, what the customer gave back, or what the customer has and has not used up.
  One text for today and for the day quality is measured from. `only_popular` leaves the best sellers alone: the
  baseline that must be beaten. `lives` is product_lives_at the same day.
#}
{% macro recommendations_at(cutoff, lives, only_popular=false) %}
with

product_days as (

    select *
    from {{ ref('int_customer_product_days') }}
    where business_date <= {{ cutoff }}

),

product_returns as (

    select *
    from {{ ref('int_product_returns') }}
    where business_date <= {{ cutoff }}

),

product_lives as (select * from {{ lives }}),

customers as (select customer_id from {{ ref('dim_customers') }}),

rules as (

    select
        first_category,
        then_category,
        within_days,
        confidence - base_rate as gain
    from {{ ref('sequence_rules') }}
    where is_leading and since_on <= {{ cutoff }}

),

stock_counts as (

    select
        sku,
        quantity_on_hand - coalesce(quantity_reserved, 0) as free_quantity,
        row_number() over (partition by channel, sku, location_id order by counted_at desc) as count_place
    from {{ ref('stg_stock_levels') }}
    where business_date <= {{ cutoff }}

),

-- The ERP counts under its own numbers; a product listed with one is looked up by it.
erp_skus as (

    select
        sku,
        max(erp_sku) as erp_sku
    from {{ ref('stg_products') }}
    group by sku

),

stock as (

    select
        sku,
        sum(free_quantity) as free_quantity
    from stock_counts
    where count_place = 1
    group by sku

),

purchases as (

    select
        customer_id,
        sku,
        max(business_date) as last_date,
        count(*) as day_count
    from product_days
    group by customer_id, sku

),

last_sales as (

    select
        sku,
        max(last_date) as last_date
    from purchases
    group by sku

),

available as (

    select product_lives.sku
    from product_lives
    left join erp_skus on product_lives.sku = erp_skus.sku
    left join stock on coalesce(erp_skus.erp_sku, product_lives.sku) = stock.sku
    left join last_sales on product_lives.sku = last_sales.sku
    where
        stock.free_quantity > 0
        or (
            stock.free_quantity is null
            and {{ days_between('last_sales.last_date', cutoff) }} < {{ var('recommendation_unsold_days') }}
        )

),

-- What a customer has, until it is used up, and what was given back.
unwanted as (

    select
        purchases.customer_id,
        purchases.sku
    from purchases
    inner join product_lives on purchases.sku = product_lives.sku
    where
        not product_lives.is_used_up
        or 100 * {{ days_between('purchases.last_date', cutoff) }}
        < {{ var('recommendation_due_share_pct') }} * coalesce(product_lives.usual_gap_days, 0)

    union distinct

    -- Who bought it again after giving it back had nothing against the product.
    select
        product_returns.customer_id,
        product_returns.sku
    from product_returns
    left join purchases
        on
            product_returns.customer_id = purchases.customer_id
            and product_returns.sku = purchases.sku
    where purchases.last_date is null or product_returns.business_date >= purchases.last_date

),

baskets_placed as (

    select
        *,
        cast(
            power(
                0.5,
                {{ days_between('last_date', cutoff) }} / {{ '%.1f' | format(var('recommendation_half_life_days')) }}
            ) as decimal(9, 6)
        ) as weight,
        row_number() over (partition by customer_id order by last_date desc, sku) as basket_place
    from purchases
    where {{ days_between('last_date', cutoff) }} < {{ var('recommendation_history_days') }}

),

baskets as (

    select *
    from baskets_placed
    where basket_place <= {{ var('recommendation_basket_limit') }}

),

product_weights as (

    select
        sku,
        sum(weight) as weight,
        count(*) as buyer_count
    from baskets
    group by sku

),

return_counts as (

    select
        sku,
        count(distinct customer_id) as returner_count
    from product_returns
    where {{ days_between('business_date', cutoff) }} < {{ var('recommendation_history_days') }}
    group by sku

),

-- Best sellers first; what often comes back is pushed down.
offers as (

    select
        available.sku,
        product_lives.category_name,
        product_weights.weight,
        1 - coalesce(return_counts.returner_count, 0)
        / cast(
            greatest(product_weights.buyer_count, coalesce(return_counts.returner_count, 0))
            + {{ var('recommendation_return_prior_count') }} as double
        ) as kept_share
    from available
    inner join product_lives on available.sku = product_lives.sku
    inner join product_weights on available.sku = product_weights.sku
    left join return_counts on available.sku = return_counts.sku

),

popular as (

    select
        sku,
        category_name,
        cast(weight * kept_share as decimal(28, 9)) as popularity,
        row_number() over (order by cast(weight * kept_share as decimal(28, 9)) desc, sku) as popularity_place,
        row_number() over (
            partition by category_name
            order by cast(weight * kept_share as decimal(28, 9)) desc, sku
        ) as category_place,
        weight / sum(weight) over (partition by category_name) as category_share
    from offers

),
{% if not only_popular %}
-- A product bought on two days stands beside itself.
pairs as (

    select
        baskets.sku,
        others.sku as other_sku,
        sum(baskets.weight * others.weight) as weight
    from baskets
    inner join baskets as others
        on
            baskets.customer_id = others.customer_id
            and (baskets.sku <> others.sku or baskets.day_count > 1)
    group by baskets.sku, others.sku

),

neighbours_placed as (

    select
        pairs.sku,
        pairs.other_sku,
        cast(
            cast(pairs.weight as double)
            / sqrt(cast(product_weights.weight as double) * cast(other_weights.weight as double)) as decimal(9, 6)
        ) as closeness
    from pairs
    inner join product_weights on pairs.sku = product_weights.sku
    inner join product_weights as other_weights on pairs.other_sku = other_weights.sku
    where product_weights.weight > 0 and other_weights.weight > 0

),

neighbours_ranked as (

    select
        *,
        row_number() over (partition by sku order by closeness desc, other_sku) as neighbour_place
    from neighbours_placed

),

by_products as (

    select
        baskets.customer_id,
        neighbours_ranked.other_sku as sku,
        baskets.sku as based_on_sku,
        cast(null as varchar) as based_on_category,
        case when baskets.sku = neighbours_ranked.other_sku then 'bought_again' else 'bought_together' end
            as reason_code,
        baskets.weight * neighbours_ranked.closeness as points
    from baskets
    inner join neighbours_ranked
        on baskets.sku = neighbours_ranked.sku and neighbours_ranked.neighbour_place <= {{ var('recommendation_neighbour_count') }}

),

category_dates as (

    select
        customer_id,
        category_name,
        max(business_date) as last_date
    from product_days
    where category_name is not null
    group by customer_id, category_name

),

-- A was bought within the window, and B not since.
by_rules as (

    select
        firsts.customer_id,
        popular.sku,
        cast(null as varchar) as based_on_sku,
        rules.first_category as based_on_category,
        'follows' as reason_code,
        cast(
            {{ var('recommendation_rule_weight') }} * rules.gain * popular.category_share as decimal(18, 12)
        ) as points
    from category_dates as firsts
    inner join rules
        on
            firsts.category_name = rules.first_category
            and {{ days_between('firsts.last_date', cutoff) }} < rules.within_days
    left join category_dates as seconds
        on firsts.customer_id = seconds.customer_id and rules.then_category = seconds.category_name
    inner join popular
        on
            rules.then_category = popular.category_name
            and popular.category_place <= {{ var('recommendation_rule_product_count') }}
    where seconds.last_date is null or seconds.last_date < firsts.last_date

),

grounds as (

    select * from by_products
    union all
    select * from by_rules

),

summed as (

    select
        customer_id,
        sku,
        sum(points) as points
    from grounds
    group by customer_id, sku

),

wanted as (

    select
        summed.customer_id,
        summed.sku,
        cast(summed.points * offers.kept_share as decimal(28, 9)) as score
    from summed
    inner join offers on summed.sku = offers.sku
    left join unwanted
        on
            summed.customer_id = unwanted.customer_id
            and summed.sku = unwanted.sku
    where unwanted.sku is null

),

wanted_placed as (

    select
        *,
        row_number() over (partition by customer_id order by score desc, sku) as place
    from wanted
    where score > 0

),

chosen as (

    select *
    from wanted_placed
    where place <= {{ var('recommendation_count') }}

),

grounds_placed as (

    select
        grounds.*,
        row_number() over (
            partition by grounds.customer_id, grounds.sku
            order by grounds.points desc, grounds.reason_code, grounds.based_on_sku, grounds.based_on_category
        ) as ground_place
    from grounds
    inner join chosen
        on
            grounds.customer_id = chosen.customer_id
            and grounds.sku = chosen.sku

),
{% else %}
chosen as (

    select
        cast(null as varchar) as customer_id,
        cast(null as varchar) as sku,
        cast(0 as decimal(28, 9)) as score,
        0 as place
    from popular
    where popularity_place < 1

),
{% endif %}
chosen_counts as (

    select
        customers.customer_id,
        count(chosen.sku) as chosen_count
    from customers
    left join chosen on customers.customer_id = chosen.customer_id
    group by customers.customer_id

),

fillers as (

    select
        chosen_counts.customer_id,
        chosen_counts.chosen_count,
        popular.sku,
        row_number() over (partition by chosen_counts.customer_id order by popular.popularity_place) as place
    from chosen_counts
    inner join popular
        on
            chosen_counts.chosen_count < {{ var('recommendation_count') }}
            and popular.popularity_place <= {{ var('recommendation_popular_count') }}
    left join unwanted
        on
            chosen_counts.customer_id = unwanted.customer_id
            and popular.sku = unwanted.sku
    left join chosen
        on
            chosen_counts.customer_id = chosen.customer_id
            and popular.sku = chosen.sku
    where unwanted.sku is null and chosen.sku is null

),

recommended as (
    {% if not only_popular %}
    select
        chosen.customer_id,
        chosen.place as recommendation_rank,
        chosen.sku,
        chosen.score,
        grounds_placed.reason_code,
        grounds_placed.based_on_sku,
        grounds_placed.based_on_category
    from chosen
    inner join grounds_placed
        on
            chosen.customer_id = grounds_placed.customer_id
            and chosen.sku = grounds_placed.sku
            and grounds_placed.ground_place = 1
    -- Accounts whose customer is gone.
    inner join customers on chosen.customer_id = customers.customer_id

    union all
    {% endif %}
    select
        customer_id,
        chosen_count + place as recommendation_rank,
        sku,
        cast(0 as decimal(28, 9)) as score,
        'popular' as reason_code,
        cast(null as varchar) as based_on_sku,
        cast(null as varchar) as based_on_category
    from fillers
    where chosen_count + place <= {{ var('recommendation_count') }}

)
{% endmacro %}


{#
  Whether a product is used up, and after how long it is bought again, as of a day. The catalogue's own word counts
  first (it has no history: as known at as_of); where it is silent the category's buyers tell by coming back.
#}
{% macro product_lives_at(cutoff) %}
with

product_days as (

    select *
    from {{ ref('int_customer_product_days') }}
    where business_date <= {{ cutoff }}

),

catalogue as (select * from {{ ref('stg_products') }}),

products as (

    select
        sku,
        category_name
    from {{ ref('dim_products') }}
    where item_class = 'product'

),

listed as (

    select
        sku,
        replenish_days,
        row_number() over (
            partition by sku
            order by case when replenish_days is null then 1 else 0 end, known_at desc, channel
        ) as listing_place
    from catalogue

),

category_days as (

    select distinct
        customer_id,
        category_name,
        business_date
    from product_days
    where category_name is not null

),

visits as (

    select
        customer_id,
        category_name,
        {{ days_between(
            'lag(business_date) over (partition by customer_id, category_name order by business_date)',
            'business_date'
        ) }} as gap_days
    from category_days

),

buyers as (

    select
        customer_id,
        category_name,
        count(gap_days) as repeat_count
    from visits
    group by customer_id, category_name

),

repeat_shares as (

    select
        category_name,
        {{ ratio('100 * sum(case when repeat_count > 0 then 1 else 0 end)', 'count(*)') }} as repeat_share_pct
    from buyers
    group by category_name

),

usual_gaps as (

    select
        category_name,
        {{ quantile_of('gap_days', 0.5) }} as usual_gap_days
    from visits
    where gap_days is not null
    group by category_name

),

final as (

    select
        products.sku,
        products.category_name,
        case
            when listed.replenish_days is not null then listed.replenish_days > 0
            else coalesce(repeat_shares.repeat_share_pct >= {{ var('recommendation_repeat_share_pct') }}, false)
        end as is_used_up,
        case
            when listed.replenish_days > 0 then cast(listed.replenish_days as double)
            else cast(usual_gaps.usual_gap_days as double)
        end as usual_gap_days
    from products
    left join listed on products.sku = listed.sku and listed.listing_place = 1
    left join repeat_shares on products.category_name = repeat_shares.category_name
    left join usual_gaps on products.category_name = usual_gaps.category_name

)
{% endmacro %}
