-- Dated by what happened, never by the run: a rebuild or a merge of two customers gives no entry of today.
with

spells as (select * from {{ ref('int_tag_spells_explained') }}),

changes as (

    select
        customer_id,
        tag,
        'entered' as change,  -- noqa: RF04
        since_date as changed_on,
        rule_id,
        evidence
    from spells
    union all
    select
        customer_id,
        tag,
        'left' as change,  -- noqa: RF04
        until_date as changed_on,
        rule_id,
        evidence
    from spells
    where until_date is not null

),

final as (

    select *
    from changes
    where changed_on <= {{ as_of() }} and changed_on > {{ as_of_plus(-var('tag_change_days')) }}

)

select * from final
