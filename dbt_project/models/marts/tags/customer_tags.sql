with

spells as (select * from {{ ref('int_tag_spells_explained') }}),

tag_kinds as (

    select
        tag,
        min(tag_kind) as tag_kind
    from {{ ref('int_tag_rules') }}
    group by tag

),

final as (

    select
        spells.customer_id,
        spells.tag,
        tag_kinds.tag_kind,
        spells.rule_id,
        {{ local_midnight_at('spells.since_date') }} as since_at,
        {{ local_midnight_at('spells.until_date') }} as until_at,
        spells.evidence
    from spells
    inner join tag_kinds on spells.tag = tag_kinds.tag
    where
        spells.since_date <= {{ as_of() }}
        and (spells.until_date is null or spells.until_date > {{ as_of() }})

)

select * from final
