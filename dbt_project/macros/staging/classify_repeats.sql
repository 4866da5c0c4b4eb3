{#
  Classifies the records whose id occurs more than once; every other record is simply accepted.

  outcome       among all records, for the balance per file: accepted, duplicate or conflict
  is_current    among what is visible at as_of: the one record the models read
  was_current   the same as the last finished staging saw it; where the two differ a day is touched
                (where nothing was staged before, every day is, and nothing differs)

  Equal records (same id, version and content): the one whose file came first in the inbox is accepted.
  A later version is accepted too and the older one is kept as history.
  Equal records differ only in the delivery; the models read the one known first, whatever came first.
  Same id and version with other content is a conflict: every contender is out, and the last version
  without a conflict stays. An absent version counts as one version, older than any other.

  With `version: delivery` the version of a record is its delivery (source_version = known_at). A delivery that
  says again what the one before it said is no new version: its records are duplicates of the version it repeats.
#}
{% macro classify_repeats(repeated, parts, staged_end_at) %}
{#- Nothing was seen before a first staging: its versions and places need not be found. -#}
{%- set seen_by = ['is_active', 'is_visible'] + (['was_visible'] if staged_end_at else []) %}
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

{% for seen in seen_by -%}
{{ seen }}_versions as (

    {{ delivered_versions('placed', seen) }}

),

{% endfor -%}
versioned as (

    select
        placed.*,
        {%- for seen in seen_by %}
        case
            when {{ seen }}_versions.record_key is null then placed.source_version
            else {{ seen }}_versions.repeated_version
        end as version_when_{{ seen }}{{ ',' if not loop.last }}
        {%- endfor %}
    from placed
    {%- for seen in seen_by %}
    left join {{ seen }}_versions
        on
            placed.record_key = {{ seen }}_versions.record_key
            and placed.source_version = {{ seen }}_versions.source_version
    {%- endfor %}

),

compared as (

    select
        *,
        {{ has_contents('<>', 'is_active') }} as is_conflict,
        is_visible and {{ has_contents('=', 'is_visible') }} as is_candidate,
        {% if staged_end_at %}was_visible and {{ has_contents('=', 'was_visible') }}{% else %}false{% endif %} as was_candidate
    from versioned

),

ranked as (

    select
        *,
        row_number() over (
            partition by record_key, version_when_is_active, is_active
            order by inbox_seq nulls last, record_number, feed, file_sha256
        ) as place_in_version,
        row_number() over (
            partition by record_key
            order by is_candidate desc, {{ newest_version_known_first('is_visible') }}
        ) as place_in_candidates,
        {%- if staged_end_at %}
        row_number() over (
            partition by record_key
            order by was_candidate desc, {{ newest_version_known_first('was_visible') }}
        ) as place_before
        {%- else %}
        cast(null as bigint) as place_before
        {%- endif %}
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
        {% if staged_end_at %}was_candidate and place_before = 1{% else %}is_candidate and place_in_candidates = 1{% endif %}
            as was_current
    from ranked
    -- Days of a part that was taken out are touched as a whole.
    where is_active

)

select * from classified
{% endmacro %}


{# Versions that are deliveries, among the records `seen`, each with the version whose content it repeats or starts. #}
{% macro delivered_versions(records, seen) -%}
    select
        record_key,
        source_version,
        max(case when is_repeat then null else source_version end) over (
            partition by record_key order by source_version nulls first rows unbounded preceding
        ) as repeated_version
    from (
        select
            record_key,
            source_version,
            coalesce(
                max(known_at) = source_version
                and min(content_hash) = lag(min(content_hash)) over (
                    partition by record_key order by source_version nulls first
                ),
                false
            ) as is_repeat
        from {{ records }}
        where {{ seen }}
        group by record_key, source_version
        having min(content_hash) = max(content_hash)
    ) as versions
{%- endmacro %}


{# Compares the first and the last content of the record's version, among the records `seen`. #}
{% macro has_contents(sign, seen) -%}
    min(case when {{ seen }} then content_hash end) over (partition by record_key, version_when_{{ seen }})
    {{ sign }} max(case when {{ seen }} then content_hash end) over (partition by record_key, version_when_{{ seen }})
{%- endmacro %}


{% macro newest_version_known_first(seen) -%}
    version_when_{{ seen }} desc nulls last, known_at, inbox_seq nulls last, record_number, feed, file_sha256
{%- endmacro %}
