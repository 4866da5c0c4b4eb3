with

tiered as (select * from {{ ref('int_customers_tiered') }}),

tags as (select * from {{ ref('customer_tags') }}),

lifts as (

    select
        tier_lifts.lift_id,
        tier_lifts.from_tier,
        tier_lifts.tag,
        tier_lifts.to_tier,
        labels.rank
    from {{ ref('tier_lifts') }} as tier_lifts
    inner join {{ ref('rfm_tier_labels') }} as labels
        on tier_lifts.ladder = labels.ladder and tier_lifts.to_tier = labels.tier
    where tier_lifts.ladder = '{{ setting("ladder") }}'

),

-- Several lifts at once: the highest tier counts. Lifts start from the ladder, so they never form a chain.
ranked_lifts as (

    select
        tiered.customer_id,
        lifts.to_tier,
        lifts.lift_id,
        row_number() over (partition by tiered.customer_id order by lifts.rank, lifts.lift_id) as lift_place
    from tiered
    inner join lifts on tiered.rfm_tier = lifts.from_tier
    inner join tags on tiered.customer_id = tags.customer_id and lifts.tag = tags.tag

),

final as (

    select
        tiered.customer_id,
        tiered.days_since_last_order,
        tiered.order_count_in_window,
        tiered.spend_amount_in_window,
        tiered.spend_percentile,
        coalesce(ranked_lifts.to_tier, tiered.rfm_tier) as rfm_tier,
        tiered.rfm_tier as ladder_rfm_tier,
        tiered.ladder,
        coalesce(ranked_lifts.lift_id, tiered.tier_rule_id) as tier_rule_id,
        tiered.spend_basis,
        tiered.comparison_base
    from tiered
    left join ranked_lifts
        on tiered.customer_id = ranked_lifts.customer_id and ranked_lifts.lift_place = 1

)

select * from final
