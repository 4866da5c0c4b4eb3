{{ config(materialized='view') }}

-- The ledger books every consent with its account, and a replay may book one anew on any day: never stepped, and so few
-- words are put together when they are read.
with

consents as (select * from {{ ref('stg_consents') }}),

touches as (

    {{ touch_rows(
        'consents', 'consents', "case when is_granted then 'consent_granted' else 'consent_withdrawn' end",
        'event_id', 'occurred_at', feed_channel='channel', label="concat_ws(' ', purpose, consent_channel)"
    ) }}

)

select * from touches
