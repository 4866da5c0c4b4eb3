"""Who is a candidate of each journey and a case of each outcome on the last day, by SQL alone.

Add here: a journey's trigger or an outcome's facts, from what staging holds.
Not here: who was planted (the simulator's truth), what the product decides (its own models).

Each query names accounts. ``{last}`` is the last day; ``account`` stands for the two columns that
name one; ``paid`` are paid orders, ``looks`` product views with their product's catalogue entry.
"""

from __future__ import annotations

ACCOUNT = "channel, source_customer_id"

# Views the queries below read, made in this order.
VIEWS = {
    "paid": """
        select * from staging.stg_orders
        where order_status = 'paid' and source_customer_id is not null
    """,
    "goods": "select * from staging.stg_products where channel = 'erp'",
    "bought": """
        select lines.*, goods.category_name, goods.replenish_days
        from staging.stg_order_lines as lines
        semi join paid using (channel, order_id)
        join goods using (sku)
        where lines.line_kind = 'sale'
    """,
    "looks": """
        select events.* exclude (category_name), goods.category_name, goods.is_premium
        from staging.stg_events as events join goods using (sku)
        where event_type = 'product_view' and source_customer_id is not null
    """,
    "carts": """
        select * from staging.stg_events
        where event_type = 'cart_added' and source_customer_id is not null
    """,
    "waiting_carts": """
        select carts.* from carts
        anti join paid
            on carts.channel = paid.channel and carts.source_customer_id = paid.source_customer_id
            and paid.ordered_at >= carts.occurred_at
    """,
    "stock": """
        select sku, sum(quantity) as quantity
        from (
            select sku, location_id, arg_max(quantity_on_hand, counted_at) as quantity
            from staging.stg_stock_levels group by all
        )
        group by sku
    """,
    "last_orders": f"""
        select {ACCOUNT}, max(business_date) as last_date, min(business_date) as first_date,
            count(*) filter (business_date > {{last}} - 365) as order_count,
            sum(paid_amount) filter (business_date > {{last}} - 365) as spend
        from paid group by all
    """,
    "granted": f"""
        select {ACCOUNT}, consent_channel, arg_max(is_granted, occurred_at) as is_granted
        from staging.stg_consents where purpose = 'marketing' group by all
    """,
}

JOURNEYS = {
    "first_order_care": f"select {ACCOUNT} from last_orders where first_date = {{last}}",
    "free_shipping_rebuy": f"select {ACCOUNT} from last_orders where last_date = {{last}} - 3",
    # Used up by now, and bought no later than one more such time ago.
    "repurchase_cadence": f"""
        select {ACCOUNT} from bought where replenish_days > 0
        group by {ACCOUNT}, category_name, replenish_days
        having {{last}} - max(business_date) between replenish_days and 2 * replenish_days
    """,
    "cart_rescue": f"""
        select {ACCOUNT} from waiting_carts join stock using (sku)
        where business_date = {{last}} and stock.quantity between 1 and 3
    """,
    "browse_list": f"""
        select {ACCOUNT} from looks
        where category_name = '婴儿家具床品' and business_date > {{last}} - 3
        group by {ACCOUNT} having count(distinct business_date) = 3
    """,
    "question_offer": f"""
        select {ACCOUNT} from staging.stg_community_posts
        where post_kind = 'question' and business_date = {{last}}
    """,
    "visit_follow_up": f"""
        select {ACCOUNT} from staging.stg_store_visits
        where not is_purchase and business_date = {{last}}
    """,
    "dormant_wake_up": f"""
        select {ACCOUNT} from last_orders where {{last}} - last_date between 90 and 179
    """,
    "win_back": f"select {ACCOUNT} from last_orders where {{last}} - last_date >= 180",
    # The playbook's trigger: later than 1.3 times the own median gap, and half as lively as before.
    "churn_retention": f"""
        with gaps as (
            select {ACCOUNT}, business_date - lag(business_date) over (
                partition by {ACCOUNT} order by business_date
            ) as days
            from (select distinct {ACCOUNT}, business_date from paid)
        ), usual as (
            select {ACCOUNT}, median(days) as days from gaps
            group by all having count(days) >= 3
        ), lively as (
            select {ACCOUNT},
                count(*) filter (business_date > {{last}} - 30) as now,
                count(*) filter (business_date <= {{last}} - 30)
                    / greatest({{last}} - 30 - min(business_date), 1) * 30.0 as before
            from staging.stg_events where source_customer_id is not null group by {ACCOUNT}
        )
        select {ACCOUNT} from last_orders
        join usual using ({ACCOUNT}) left join lively using ({ACCOUNT})
        where {{last}} - last_date >= 1.3 * usual.days
            and coalesce(now, 0) <= 0.5 * coalesce(before, 0)
    """,
    "birthday_care": f"""
        select {ACCOUNT} from conformed.accounts
        where (month(birth_date), day(birth_date)) = (month({{last}} + 2), day({{last}} + 2))
    """,
    "festival_care": f"select {ACCOUNT} from last_orders where {{last}} - last_date <= 90",
    "weather_care": f"""
        select {ACCOUNT} from staging.stg_accounts as accounts
        semi join staging.stg_weather_alerts as alerts
            on accounts.city_name = alerts.city_name and alerts.business_date > {{last}} - 2
            and coalesce(alerts.ends_at, alerts.issued_at) >= {{last}}
    """,
    "vip_preorder": f"""
        select {ACCOUNT} from looks where is_premium and business_date > {{last}} - 3
        group by {ACCOUNT} having count(distinct business_date) = 3
    """,
    "co_creation": f"select {ACCOUNT} from last_orders where order_count > 10",
    # Delivered, some days to try it, and nothing written yet.
    "review_invitation": f"""
        select {ACCOUNT} from paid
        semi join staging.stg_shipments as parcels
            on paid.channel = parcels.channel and paid.order_id = parcels.order_id
            and parcels.shipment_status = 'delivered'
        anti join staging.stg_reviews as reviews
            on paid.channel = reviews.channel and paid.order_id = reviews.order_id
        where {{last}} - business_date between 3 and 14
    """,
    "advisor_task": f"""
        select {ACCOUNT} from last_orders
        where spend >= (select quantile_cont(spend, 0.8) from last_orders where spend > 0)
    """,
}

# Facts of an account that make the outcome; who is one person is taken from the truth.
OUTCOMES = {
    "send": f"""
        select {ACCOUNT} from waiting_carts join stock using (sku)
        semi join granted on granted.is_granted and waiting_carts.channel = granted.channel
            and waiting_carts.source_customer_id = granted.source_customer_id
        where business_date = {{last}} and stock.quantity > 0
    """,
    "held": f"""
        select {ACCOUNT} from waiting_carts
        where occurred_at >= {{last}} + interval 15 hour  -- 23:00 in the world's zone
    """,
    "capped": """
        select person.channel, person.source_customer_id
        from staging.stg_message_receipts as receipts
        join identity as addressed
            on receipts.channel = addressed.channel
            and receipts.source_customer_id = addressed.source_customer_id
        join identity as person using (person_id)
        where receipt_kind = 'sent' and business_date > {last} - 7
        group by all having count(distinct message_id) >= 4 and max(business_date) = {last}
    """,
    "no_consent": f"""
        select {ACCOUNT} from granted group by {ACCOUNT} having not bool_or(is_granted)
    """,
    "lost_to_higher_priority": f"""
        select {ACCOUNT} from waiting_carts
        semi join birthdays using ({ACCOUNT}) where business_date = {{last}}
    """,
    "stock_gone": f"""
        select {ACCOUNT} from waiting_carts join stock using (sku)
        where business_date = {{last}} and stock.quantity <= 0
    """,
    "open_complaint": """
        select person.channel, person.source_customer_id
        from staging.stg_tickets as tickets
        join identity as complaining
            on tickets.channel = complaining.channel
            and tickets.source_customer_id = complaining.source_customer_id
        join identity as person using (person_id)
        where ticket_kind = 'complaint' and ticket_status in ('open', 'pending')
    """,
    "duplicate": """
        select one.channel, one.source_customer_id
        from waiting_carts as one
        join identity as first_account
            on one.channel = first_account.channel
            and one.source_customer_id = first_account.source_customer_id
        join identity as second_account using (person_id)
        join waiting_carts as other
            on other.channel = second_account.channel
            and other.source_customer_id = second_account.source_customer_id
        where one.sku = other.sku and one.channel <> other.channel
            and abs(epoch(one.occurred_at) - epoch(other.occurred_at)) <= 3600
            and one.business_date = {last}
    """,
    "expired": f"""
        select {ACCOUNT} from waiting_carts
        group by {ACCOUNT} having max(business_date) <= {{last}} - 3
    """,
}
