{{ classify_repeats('products') }}
