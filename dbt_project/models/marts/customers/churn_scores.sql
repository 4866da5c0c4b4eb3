with

scores as (

    select *
    from {{ source('scores', 'churn_scores') }}
    where as_of_date <= {{ as_of() }}

),

customers as (select customer_id from {{ ref('dim_customers') }}),

-- When scoring failed tonight the last whole slice stays, and its date shows that it is old.
newest_slice as (select max(as_of_date) as as_of_date from scores),

final as (

    select
        scores.customer_id,
        scores.as_of_date,
        scores.churn_probability,
        scores.model_version,
        scores.scored_at
    from scores
    inner join newest_slice on scores.as_of_date = newest_slice.as_of_date
    inner join customers on scores.customer_id = customers.customer_id

)

select * from final
