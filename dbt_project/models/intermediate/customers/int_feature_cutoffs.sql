{{ config(materialized='view') }}

-- Today, and one training cut-off per horizon before the last month end, so that every label is over.
with

cutoffs as (

    select {{ as_of() }} as cutoff_date
    {%- for step in range(1, var('training_cutoff_count') + 1) %}
        union all
        select {{ add_days(training_as_of(), -step * var('churn_horizon_days')) }}
    {%- endfor %}

)

select * from cutoffs
