{#
  Finding the records that share an id without grouping all ids every night: the ids of the new parts are
  looked up among all kept ones (a semi-join), so the cost follows what is new.

  Rows of a part that was taken out cannot be read again; those already kept as repeats stay for this attempt,
  to tell what was current before.
#}

{# Ids to be looked at again: of new parts, and of parts a dead attempt or the last take-out left behind. #}
{% macro repeats_to_replace() -%}
    select record_ids.record_key
    from {{ ref('stg_record_ids') }} as record_ids
    where record_ids.part_number in ({{ new_part_numbers() }})
    union all
    select kept.record_key
    from {{ this }} as kept
    where kept.part_number not in (select part_number from {{ ref('stg_parts') }} where is_staged)
{%- endmacro %}


{% macro new_part_numbers() -%}
    select part_number from {{ ref('stg_parts') }} where is_active and not is_staged
{%- endmacro %}


{# The kept ids that are looked at: of every record, or of those whose id another record of tonight may share. #}
{% macro ids_to_look_at() %}
    select record_ids.*
    from {{ ref('stg_record_ids') }} as record_ids
    {%- if is_stepping() %}
    inner join {{ ref('stg_parts') }} as parts
        on record_ids.part_number = parts.part_number and parts.is_active
    where record_ids.record_key in ({{ keys_to_replace() }})
    {%- endif %}
{% endmacro %}


{# Ids that occur more than once in the active parts, or did before a part was taken out. #}
{% macro repeated_keys(record_ids) %}
    select record_key
    from {{ record_ids }}
    group by record_key
    having count(*) > 1
    {%- if is_stepping() %}
    union
    select kept.record_key
    from {{ this }} as kept
    inner join {{ ref('stg_parts') }} as parts
        on kept.part_number = parts.part_number and not parts.is_active
    where kept.record_key in ({{ keys_to_replace() }})
    {%- endif %}
{% endmacro %}


{# {entity: [file]} of the parts that hold a record whose id is looked at: all new ones, and what they may repeat. #}
{% macro repeated_parts() %}
    {%- set found = {} -%}
    {%- if not execute -%}{{ return(found) }}{%- endif -%}
    {%- if not is_stepping() -%}{{ return(parts_to_read()) }}{%- endif -%}
    {%- for row in run_query(
        'select distinct parts.entity, parts.file_sha256 from ' ~ ref('stg_record_ids') ~ ' as record_ids'
        ~ ' inner join ' ~ ref('stg_parts') ~ ' as parts on record_ids.part_number = parts.part_number'
        ~ ' where parts.is_active and record_ids.record_key in (' ~ repeats_to_replace() ~ ') order by all'
    ).rows -%}
        {% do found.setdefault(row[0], []).append(row[1]) %}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{# Kept rows that cannot be read again; see the top. #}
{% macro repeats_of_parts_taken_out() %}
    {%- if is_stepping() %}
    union all
    select kept.*
    from {{ this }} as kept
    inner join parts on kept.part_number = parts.part_number and not parts.is_active
    inner join repeated_keys on kept.record_key = repeated_keys.record_key
    {%- endif %}
{% endmacro %}


{# The records stg_repeats classifies. #}
{% macro repeats_in_question() -%}
    {%- if is_stepping() -%}
    (select * from {{ ref('stg_repeated_records') }} where record_key in ({{ keys_to_replace() }}))
    {%- else -%}
    {{ ref('stg_repeated_records') }}
    {%- endif -%}
{%- endmacro %}


{#
  Ids whose records are to be classified again: a record of theirs is new, gone or comes into sight, or the last
  classification told a change (from here on it was so before). `repeated` are all records that share an id.
#}
{% macro repeats_to_classify() -%}
    select coalesce(kept.record_key, repeated.record_key) as record_key
    from {{ this }} as kept
    full outer join (
        select
            records.record_key,
            records.part_number,
            records.record_number,
            not parts.is_staged or (
                records.visible_at >= {{ sql_instant(staged_end_at()) }}
                and records.visible_at < {{ as_of_end_at() }}
            ) as is_new
        from {{ ref('stg_repeated_records') }} as records
        inner join {{ ref('stg_parts') }} as parts
            on records.part_number = parts.part_number and parts.is_active
    ) as repeated
        on
            kept.record_key = repeated.record_key
            and kept.part_number = repeated.part_number
            and kept.record_number = repeated.record_number
    where
        kept.record_key is null
        or repeated.record_key is null
        or repeated.is_new
        or kept.is_current <> kept.was_current
{%- endmacro %}
