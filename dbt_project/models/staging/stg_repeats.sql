{{ config(materialized='stepwise', shape='replace_keys', key='record_key', keys='repeats_to_classify') }}

-- Which of the records that share an id counts, and which did when the last finished staging was done. While stepped,
-- only the ids whose records have changed are classified again.
{{ classify_repeats(repeats_in_question(), ref('stg_parts'), staged_end_at()) }}
