{{ classify_repeats('order_lines', 'ordered_at') }}
