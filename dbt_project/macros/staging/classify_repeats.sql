{#
  Classifies the records whose id occurs more than once; every other record is simply accepted.

  outcome       among all records, for the balance per file: accepted, duplicate or conflict
  is_current    among what is visible at as_of: the one record the models read
  was_current   the same as the last finished staging saw it; where the two differ a day is touched

  Equal records (same id, version and content): the one whose file came first in the inbox is accepted.
  A later version is accepted too and the older one is kept as history.
  Equal records differ only in the delivery; the models read the one known first, whatever came first.
  Same id and version with other content is a conflict: every contender is out, and the last version
  without a conflict stays. An absent version counts as one version, older than any other.
#}
{% macro classify_repeats(repeated, parts, staged_end_at) %}
with

placed as (

    select
        repeated.*,
        parts.feed,
        parts.file_sha256,
        parts.inbox_seq,
        parts.is_active,
        parts.is_active and repeated.visible_at < {{ as_of_end_at() }} as is_visible,
        {% if staged_end_at %}
        parts.is_staged and repeated.visible_at < {{ sql_instant(staged_end_at) }} as was_visible
        {% else %}
        false as was_visible
        {% endif %}
    from {{ repeated }} as repeated
    inner join {{ parts }} as parts
        on repeated.part_number = parts.part_number

),

compared as (

    select
        *,
        min(case when is_active then content_hash end) over same_version
        <> max(case when is_active then content_hash end) over same_version as is_conflict,
        is_visible
        and min(case when is_visible then content_hash end) over same_version
        = max(case when is_visible then content_hash end) over same_version as is_candidate,
        was_visible
        and min(case when was_visible then content_hash end) over same_version
        = max(case when was_visible then content_hash end) over same_version as was_candidate
    from placed
    window same_version as (partition by record_key, source_version)

),

ranked as (

    select
        *,
        row_number() over (
            partition by record_key, source_version, is_active
            order by inbox_seq nulls last, record_number, feed, file_sha256
        ) as place_in_version,
        row_number() over (
            partition by record_key
            order by is_candidate desc, {{ newest_version_known_first() }}
        ) as place_in_candidates,
        row_number() over (
            partition by record_key
            order by was_candidate desc, {{ newest_version_known_first() }}
        ) as place_before
    from compared

),

classified as (

    select
        entity,
        record_key,
        part_number,
        feed,
        file_sha256,
        record_number,
        business_date,
        case
            when is_conflict then 'conflict'
            when place_in_version = 1 then 'accepted'
            else 'duplicate'
        end as outcome,
        is_candidate and place_in_candidates = 1 as is_current,
        was_candidate and place_before = 1 as was_current
    from ranked
    -- Days of a part that was taken out are touched as a whole.
    where is_active

)

select * from classified
{% endmacro %}


{% macro newest_version_known_first() -%}
    source_version desc nulls last, known_at, inbox_seq nulls last, record_number, feed, file_sha256
{%- endmacro %}
