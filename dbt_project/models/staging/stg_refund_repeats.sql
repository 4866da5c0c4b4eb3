{{ classify_repeats('refunds', 'refunded_at') }}
