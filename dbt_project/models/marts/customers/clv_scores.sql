with

scores as (

    select *
    from {{ source('scores', 'clv_scores') }}
    where as_of_date <= {{ as_of() }}

),

-- What a customer has spent needs no model: it is there before the first one and when scoring failed.
customers as (

    select
        customer_id,
        {{ half_even('net_exact_amount') }} as historic_clv,
        {{ ratio('net_exact_amount', 'order_count') }} as average_order_value
    from {{ ref('int_customer_orders') }}
    where order_count > 0

),

-- When scoring failed tonight the last whole slice stays, and its date shows that it is old.
newest_slice as (select max(as_of_date) as as_of_date from scores),

newest as (

    select scores.*
    from scores
    inner join newest_slice on scores.as_of_date = newest_slice.as_of_date

),

final as (

    select
        customers.customer_id,
        newest.as_of_date,
        customers.historic_clv,
        newest.predicted_clv,
        newest.predicted_clv_low,
        newest.predicted_clv_high,
        cast(customers.historic_clv as double) + newest.predicted_clv as total_clv,
        newest.predicted_number_of_orders,
        customers.average_order_value,
        newest.predicted_order_value,
        newest.probability_alive,
        newest.horizon_days,
        newest.model_version,
        newest.as_of_date < {{ as_of() }} as is_stale,
        newest.scored_at
    from customers
    left join newest on customers.customer_id = newest.customer_id

)

select * from final
