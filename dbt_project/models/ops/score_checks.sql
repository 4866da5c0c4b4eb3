with

checks as (

    {%- for score in ['churn', 'clv'] %}
        select * from {{ source('scores', score ~ '_checks') }}
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}

),

final as (

    select
        score,
        measure,
        feature,
        as_of_date,
        value as measured_value,
        limits,
        is_passed,
        holds_outreach,
        holds_outreach and not is_passed as stops_outreach,
        note,
        model_version
    from checks
    where as_of_date <= {{ as_of() }}

)

select * from final
