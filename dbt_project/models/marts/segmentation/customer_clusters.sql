with

clusters as (

    select *
    from {{ source('scores', 'customer_clusters') }}
    where as_of_date <= {{ as_of() }}

),

customers as (select customer_id from {{ ref('dim_customers') }}),

-- When scoring failed tonight the last whole slice stays, and its date shows that it is old.
newest_slice as (select max(as_of_date) as as_of_date from clusters),

final as (

    select
        clusters.customer_id,
        clusters.as_of_date,
        clusters.cluster_number,
        clusters.cluster_name,
        clusters.distance,
        clusters.model_version,
        clusters.fitted_as_of_date,
        clusters.scored_at
    from clusters
    inner join newest_slice on clusters.as_of_date = newest_slice.as_of_date
    inner join customers on clusters.customer_id = customers.customer_id

)

select * from final
