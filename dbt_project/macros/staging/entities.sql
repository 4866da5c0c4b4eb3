{# Entities whose records are staged, with the model that classifies their repeated records. #}
{% macro staged_entities() %}
    {{ return({
        'order_lines': 'stg_order_line_repeats',
        'orders': 'stg_order_repeats',
        'refunds': 'stg_refund_repeats',
        'accounts': 'stg_account_repeats',
        'products': 'stg_product_repeats',
    }) }}
{% endmacro %}
