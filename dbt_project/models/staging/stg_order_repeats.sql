{{ classify_repeats('orders', 'ordered_at') }}
