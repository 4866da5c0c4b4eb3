-- All repeats are classified every night: they are few, and as_of moves what is visible.
{{ classify_repeats(ref('stg_repeated_records'), ref('stg_parts'), staged_end_at()) }}
