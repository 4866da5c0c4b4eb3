{{ config(materialized='view') }}

-- Every touch by source account, whichever way it was found. One row per touch. Stored by day below; the customer is
-- joined last, in customer_timeline.
with

touches as (

    {% for kind in ['account', 'event', 'consent', 'linked'] %}
        select {{ touch_columns() }}
        from {{ ref('int_' ~ kind ~ '_touches') }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select *
from touches
where business_date <= {{ as_of() }}
