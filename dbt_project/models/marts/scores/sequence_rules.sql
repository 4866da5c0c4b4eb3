with

rules as (

    select *
    from {{ source('scores', 'sequence_rules') }}
    where as_of_date <= {{ as_of() }}

),

-- When scoring failed tonight the last whole slice stays, and its date shows that it is old.
newest_slice as (select max(as_of_date) as as_of_date from rules),

final as (

    select
        rules.first_category,
        rules.then_category,
        rules.within_days,
        rules.as_of_date,
        rules.status,
        rules.is_leading,
        rules.reason,
        rules.since_on,
        rules.retired_on,
        rules.first_customer_count,
        rules.exposure_count,
        rules.support,
        rules.confidence,
        rules.base_rate,
        rules.lift,
        rules.lift_low,
        rules.lift_high,
        rules.p_value,
        rules.q_value,
        rules.holdout_first_customer_count,
        rules.holdout_exposure_count,
        rules.holdout_support,
        rules.holdout_confidence,
        rules.holdout_base_rate,
        rules.holdout_lift,
        rules.holdout_lift_low,
        rules.holdout_lift_high,
        rules.holdout_p_value,
        rules.decided_as_of_date,
        rules.scored_at
    from rules
    inner join newest_slice on rules.as_of_date = newest_slice.as_of_date

)

select * from final
