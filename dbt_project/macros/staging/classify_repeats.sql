{#
  Classifies the records whose record_id occurs more than once; every other record is simply accepted.
  Few ids repeat, so they are found by one cheap count and only they pass through windows.

  outcome       among all records, for the balance per file: accepted, duplicate or conflict
  is_current    among what is visible at as_of: the one record the models read

  Equal records (same id, version and content): the one whose file came first in the inbox is accepted.
  A later version is accepted too and the older one is kept as history.
  Equal records differ only in the delivery; the models read the one known first, whatever came first.
  Same id and version with other content is a conflict: every contender is out, and the last version
  without a conflict stays. An absent version counts as one version, older than any other.
#}
{% macro classify_repeats(entity, event_at=none) %}
with

source_records as (

    select
        record_id,
        content_hash,
        source_version,
        feed,
        file_sha256,
        record_number,
        known_at,
        {{ is_visible(event_at) }} as is_visible
    from {{ source('conformed', entity) }}

),

repeated_ids as (

    select record_id
    from {{ source('conformed', entity) }}
    group by record_id
    having count(*) > 1

),

file_order as (

    select
        feed,
        file_sha256,
        min(inbox_seq) as inbox_seq
    from {{ source('ledger', 'inbox_files') }}
    group by feed, file_sha256

),

repeats as (

    select
        source_records.*,
        file_order.inbox_seq,
        case when source_records.is_visible then source_records.content_hash end as visible_hash
    from source_records
    inner join repeated_ids
        on source_records.record_id = repeated_ids.record_id
    left join file_order
        on
            source_records.feed = file_order.feed
            and source_records.file_sha256 = file_order.file_sha256

),

compared as (

    select
        *,
        min(content_hash) over same_version <> max(content_hash) over same_version as is_conflict,
        is_visible
        and min(visible_hash) over same_version = max(visible_hash) over same_version as is_candidate
    from repeats
    window same_version as (partition by record_id, source_version)

),

ranked as (

    select
        *,
        row_number() over (
            partition by record_id, source_version
            order by inbox_seq nulls last, record_number, feed, file_sha256
        ) as place_in_version,
        row_number() over (
            partition by record_id
            order by
                is_candidate desc,
                source_version desc nulls last,
                known_at,
                inbox_seq nulls last,
                record_number,
                feed,
                file_sha256
        ) as place_in_candidates
    from compared

),

classified as (

    select
        record_id,
        feed,
        file_sha256,
        record_number,
        case
            when is_conflict then 'conflict'
            when place_in_version = 1 then 'accepted'
            else 'duplicate'
        end as outcome,
        is_candidate and place_in_candidates = 1 as is_current
    from ranked

)

select * from classified
{% endmacro %}


{# True for what was known at as_of: the delivery and, where there is one, the event are not after it. #}
{% macro is_visible(event_at=none) -%}
    known_at < {{ as_of_end_at() }}
    {%- if event_at %} and {{ event_at }} < {{ as_of_end_at() }}{% endif %}
{%- endmacro %}


{# The records of an entity a model at as_of reads: visible, and current among those sharing an id. #}
{% macro current_records(entity, repeats=none, event_at=none) %}
    select records.*
    from {{ source('conformed', entity) }} as records
    where
        {{ is_visible(event_at) }}
    {%- if repeats %}
        and not exists (
            select 1
            from {{ repeats }} as repeats
            where
                not repeats.is_current
                and repeats.record_id = records.record_id
                and repeats.feed = records.feed
                and repeats.file_sha256 = records.file_sha256
                and repeats.record_number = records.record_number
        )
    {%- endif %}
{% endmacro %}
