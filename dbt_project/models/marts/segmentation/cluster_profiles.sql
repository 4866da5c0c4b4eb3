with

clusters as (select * from {{ ref('customer_clusters') }}),

features as (select * from {{ ref('int_cluster_features') }}),

everybody as (select count(*) as customer_count from clusters),

summed as (

    select
        clusters.cluster_number,
        clusters.cluster_name,
        clusters.model_version,
        clusters.fitted_as_of_date,
        count(*) as customer_count,
        sum(features.days_since_last_order) as days_since_last_order,
        sum(features.order_count_in_window) as order_count_in_window,
        sum(features.spend_in_window_amount) as spend_in_window_amount,
        count(features.spend_in_window_amount) as spend_known_count,
        sum(features.active_day_count) as active_day_count,
        sum(features.product_view_count) as product_view_count,
        sum(features.cart_added_count) as cart_added_count
    from clusters
    inner join features on clusters.customer_id = features.customer_id
    group by
        clusters.cluster_number,
        clusters.cluster_name,
        clusters.model_version,
        clusters.fitted_as_of_date

),

final as (

    select
        summed.cluster_number,
        summed.cluster_name,
        summed.model_version,
        summed.fitted_as_of_date,
        summed.customer_count,
        {{ ratio('100 * summed.customer_count', 'everybody.customer_count') }} as customer_share_pct,
        {{ ratio('summed.days_since_last_order', 'summed.customer_count') }} as mean_days_since_last_order,
        {{ ratio('summed.order_count_in_window', 'summed.customer_count') }} as mean_order_count_in_window,
        {{ ratio('summed.spend_in_window_amount', 'summed.spend_known_count') }} as mean_spend_in_window_amount,
        {{ ratio('summed.active_day_count', 'summed.customer_count') }} as mean_active_day_count,
        {{ ratio('summed.product_view_count', 'summed.customer_count') }} as mean_product_view_count,
        {{ ratio('summed.cart_added_count', 'summed.customer_count') }} as mean_cart_added_count
    from summed
    cross join everybody

)

select * from final
