{#- Of a domain without facts the counts are 0 and the flags false, the rest is null. -#}
{%- set recency_windows = ['', '_in_window', '_recent'] -%}
{%- set domains = {
    'behaviour': {
        'counts': [
            'checkout_started_count', 'login_count', 'share_count', 'check_in_count', 'live_event_count'
        ],
        'others': ['last_active_date'],
    },
    'carts': {
        'counts': ['open_cart_product_count', 'favourite_product_count'],
        'others': ['last_cart_date', 'last_favourite_date'],
    },
    'interactions': {
        'counts': [
            'live_room_count', 'live_entered_count', 'live_liked_count', 'live_commented_count',
            'live_product_clicked_count', 'live_dwell_seconds', 'community_message_count', 'community_post_count',
            'community_question_count', 'community_answer_count', 'community_share_count', 'community_like_count',
            'store_visit_count', 'store_visit_with_purchase_count', 'store_visit_without_purchase_count'
        ],
        'others': [
            'last_live_date', 'last_community_date', 'last_store_visit_date', 'last_visit_without_purchase_date'
        ],
    },
    'feedback': {
        'counts': ['review_count', 'low_rating_count', 'survey_answer_count', 'sentiment_statement_count'],
        'others': [
            'average_rating', 'last_rating', 'last_review_date', 'nps_score', 'nps_class', 'last_nps_date',
            'csat_score', 'last_csat_date', 'sentiment_score', 'sentiment_class'
        ],
    },
    'service': {
        'counts': ['ticket_count', 'open_ticket_count', 'complaint_count', 'reopened_ticket_count'],
        'others': [
            'last_ticket_date', 'last_complaint_date', 'average_response_minutes', 'average_resolution_hours',
            'average_satisfaction_score'
        ],
    },
    'responses': {
        'counts': [
            'message_count', 'message_delivered_count', 'message_opened_count', 'message_clicked_count',
            'message_failed_count', 'message_unsubscribed_count', 'email_message_count', 'email_opened_count',
            'email_clicked_count', 'sms_message_count', 'sms_opened_count', 'sms_clicked_count',
            'wecom_message_count', 'wecom_opened_count', 'wecom_clicked_count', 'push_message_count',
            'push_opened_count', 'push_clicked_count'
        ],
        'others': [
            'message_open_rate_pct', 'message_click_rate_pct', 'last_message_date', 'last_opened_date',
            'last_clicked_date'
        ],
    },
    'coupons': {
        'counts': ['coupon_issued_count', 'coupon_redeemed_count', 'coupon_expired_count'],
        'others': ['coupon_redemption_rate_pct', 'last_coupon_redeemed_date'],
    },
    'consents': {
        'counts': ['marketing_channel_count'],
        'flags': [
            'has_email_consent', 'has_sms_consent', 'has_wecom_consent', 'has_push_consent', 'has_service_consent',
            'has_profiling_consent', 'has_withdrawn_consent'
        ],
        'others': ['last_consent_date'],
    },
    'returns': {
        'counts': ['refund_count', 'refunded_order_count'],
        'others': ['last_refund_date'],
    },
    'habits': {
        'counts': ['payment_method_count', 'coupon_order_count', 'gift_order_count'],
        'others': [
            'preferred_hour', 'preferred_weekday', 'preferred_channel', 'preferred_payment_method',
            'coupon_order_share_pct', 'gift_order_share_pct', 'weekend_order_share_pct', 'night_order_share_pct'
        ],
    },
    'favourites': {
        'counts': ['category_count'],
        'others': [
            'top_sku', 'top_category_name', 'top_category_share_pct', 'second_category_name',
            'second_category_share_pct', 'top_brand_name', 'price_band'
        ],
    },
} -%}
{%- for measure in [
    'session_count', 'dwell_seconds', 'active_day_count', 'page_view_count', 'product_view_count', 'search_count',
    'cart_added_count', 'favourite_added_count'
] -%}
    {%- for window in recency_windows -%}
        {%- do domains['behaviour']['counts'].append(measure ~ window) -%}
    {%- endfor -%}
{%- endfor -%}

-- depends_on: {{ ref('fct_orders') }}
-- (so that the test comparing the two runs in the call that builds the later one)
with

customers as (select * from {{ ref('dim_customers') }}),

orders as (select * from {{ ref('int_customer_orders') }}),

tiers as (select * from {{ ref('rfm_tiers') }}),

lifecycle as (select * from {{ ref('lifecycle_stages') }}),

tags as (

    select
        customer_id,
        count(*) as tag_count,
        {{ joined_texts('tag', "' '", 'tag') }} as tags
    from {{ ref('customer_tags') }}
    group by customer_id

),

clusters as (select * from {{ ref('customer_clusters') }}),

churn as (select * from {{ ref('churn_scores') }}),

clv as (select * from {{ ref('clv_scores') }}),

next_orders as (select * from {{ ref('next_orders') }}),

recommendations as (

    select *
    from {{ ref('recommendations') }}
    where recommendation_rank = 1

),

behaviour as (select * from {{ ref('int_customer_behaviour') }}),

carts as (select * from {{ ref('int_customer_carts') }}),

interactions as (select * from {{ ref('int_customer_interactions') }}),

feedback as (select * from {{ ref('int_customer_feedback') }}),

service as (select * from {{ ref('int_customer_service') }}),

responses as (select * from {{ ref('int_customer_responses') }}),

coupons as (select * from {{ ref('int_customer_coupons') }}),

consents as (select * from {{ ref('int_customer_consents') }}),

returns as (select * from {{ ref('int_customer_returns') }}),

habits as (select * from {{ ref('int_customer_habits') }}),

favourites as (select * from {{ ref('int_customer_favourites') }}),

final as (

    select
        customers.customer_id,
        {{ as_of() }} as as_of_date,
        customers.account_count,
        customers.channel_count,
        customers.first_seen_date,
        customers.last_seen_date,
        customers.registered_at,
        customers.gender,
        customers.birth_year,
        customers.city_name,
        customers.country_name,
        customers.guide_id,
        customers.store_id,
        customers.source_name,
        orders.order_count,
        orders.first_order_date,
        orders.last_order_date,
        orders.days_since_last_order,
        orders.order_count_in_window,
        tiers.currency,
        {{ half_even('orders.gross_exact_amount') }} as gross_amount,
        {{ half_even('orders.discount_exact_amount') }} as discount_amount,
        {{ half_even('orders.refund_exact_amount') }} as refund_amount,
        tiers.spend_amount,
        tiers.spend_amount_in_window,
        {{ ratio(
            '100 * orders.refund_exact_amount', '(orders.gross_exact_amount - orders.discount_exact_amount)'
        ) }} as refund_share_pct,
        {{ ratio('(orders.gross_exact_amount - orders.discount_exact_amount)', 'orders.order_count') }}
            as average_order_amount,
        {{ ratio('orders.sale_line_count', 'orders.order_count') }} as average_lines_per_order,
        {{ ratio('orders.item_quantity', 'orders.order_count') }} as average_items_per_order,
        case
            when orders.purchase_day_count > 1
                then {{ ratio(
                    days_between('orders.first_order_date', 'orders.last_order_date'),
                    '(orders.purchase_day_count - 1)'
                ) }}
        end as average_days_between_orders,
        orders.product_count,
        orders.unconverted_order_count,
        {{ ratio('100 * coalesce(returns.refund_count, 0)', 'orders.order_count') }} as return_rate_pct,
        {{ days_between('behaviour.last_active_date', as_of()) }} as days_since_last_active,
        {%- for domain, columns in domains.items() %}
            {%- for name in columns.counts %}
                coalesce({{ domain }}.{{ name }}, 0) as {{ name }},
            {%- endfor %}
            {%- for name in columns.flags %}
                coalesce({{ domain }}.{{ name }}, false) as {{ name }},
            {%- endfor %}
            {%- for name in columns.others %}
                {{ domain }}.{{ name }},
            {%- endfor %}
        {%- endfor %}
        tiers.rfm_tier,
        tiers.official_rfm_tier,
        lifecycle.lifecycle_stage,
        lifecycle.aipl_stage,
        coalesce(tags.tag_count, 0) as tag_count,
        tags.tags,
        clusters.cluster_name,
        churn.churn_probability,
        churn.reason_1_code as churn_reason,
        churn.reason_1_zh as churn_reason_zh,
        churn.reason_1_en as churn_reason_en,
        churn.is_playbook_churn_risk,
        clv.historic_clv,
        clv.predicted_clv,
        clv.predicted_clv_low,
        clv.predicted_clv_high,
        clv.total_clv,
        clv.predicted_number_of_orders,
        clv.average_order_value,
        clv.probability_alive,
        next_orders.expected_date_of_next_order,
        next_orders.next_order_status,
        recommendations.sku as recommended_sku,
        recommendations.category_name as recommended_category_name,
        -- Owned by models that are not here yet (`filled_by` in the contract).
        cast(null as varchar) as member_level,
        cast(null as date) as member_since_date,
        cast(null as date) as member_level_until_date,
        cast(null as bigint) as growth_value,
        cast(null as bigint) as points_balance,
        cast(null as bigint) as points_expiring_30d,
        cast(null as bigint) as points_earned_count,
        cast(null as bigint) as referral_count,
        cast(null as varchar) as holdout_group
    from customers
    left join orders on customers.customer_id = orders.customer_id
    left join tiers on customers.customer_id = tiers.customer_id
    left join lifecycle on customers.customer_id = lifecycle.customer_id
    left join tags on customers.customer_id = tags.customer_id
    left join clusters on customers.customer_id = clusters.customer_id
    left join churn on customers.customer_id = churn.customer_id
    left join clv on customers.customer_id = clv.customer_id
    left join next_orders on customers.customer_id = next_orders.customer_id
    left join recommendations on customers.customer_id = recommendations.customer_id
    {%- for domain in domains %}
        left join {{ domain }} on customers.customer_id = {{ domain }}.customer_id
    {%- endfor %}

)

select * from final
