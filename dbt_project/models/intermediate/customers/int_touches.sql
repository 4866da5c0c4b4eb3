{{ config(materialized='view') }}

-- Every touch by source account, whichever way it was found. One row per touch. Stored by day below; the customer is
-- joined last, in customer_timeline.
with

touches as (

    select * from {{ ref('int_account_touches') }}
    union all
    select * from {{ ref('int_event_touches') }}
    union all
    select * from {{ ref('int_linked_touches') }}

)

select * from touches
