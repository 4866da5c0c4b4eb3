{{ customer_features_at(
    ref('int_feature_cutoffs'), ref('int_customer_days'), ref('int_customer_behaviour_days'), ref('int_customer_ranges')
) }}
