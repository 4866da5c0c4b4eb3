-- depends_on: {{ ref('source_customers') }}
-- (so that it is built in the same call of dbt as the customers)
with

quality as (select * from {{ source('identity', 'quality') }}),

final as (

    select
        rule_set,
        identifier_kind,
        pairwise_precision,
        pairwise_recall,
        pairwise_f1,
        b_cubed_precision,
        b_cubed_recall,
        b_cubed_f1,
        precision_gain,
        recall_gain,
        match_rate,
        cluster_size_p50,
        cluster_size_p99,
        cluster_size_max,
        account_count,
        customer_count,
        edge_count,
        dropped_count,
        reviewed_pair_count,
        same_pair_count,
        breached_floors,
        warnings
    from quality

)

select * from final
