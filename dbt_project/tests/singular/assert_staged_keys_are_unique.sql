-- One row per key in what money, touches and accounts are joined from before the customers are known.
with

shared_keys as (

    {{ rows_sharing_a_key({
        'stg_orders': ['channel', 'order_id'],
        'stg_refunds': ['channel', 'refund_id'],
        'stg_accounts': ['channel', 'source_customer_id'],
        'stg_tickets': ['feed_channel', 'ticket_id'],
        'stg_shipments': ['feed_channel', 'shipment_id'],
        'int_reporting_rates': ['currency', 'business_date'],
        'int_accounts_seen': ['channel', 'source_customer_id'],
    }) }}

)

select * from shared_keys
