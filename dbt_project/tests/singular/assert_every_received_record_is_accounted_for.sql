-- Per file: received = accepted + quarantined + duplicate, and nothing is counted below zero.
with

feed_balance as (select * from {{ ref('feed_balance') }}),

unbalanced as (

    select *
    from feed_balance
    where
        received_count <> accepted_count + quarantined_count + duplicate_count
        or least(accepted_count, quarantined_count, duplicate_count) < 0

)

select * from unbalanced
