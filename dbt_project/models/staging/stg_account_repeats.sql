{{ classify_repeats('accounts') }}
