-- Tickets in the state known at as_of. One row per customer with a ticket.
with

source_customers as (select * from {{ ref('source_customers') }}),

-- An answer that stands before its question is a mistyped clock, not a fast desk.
tickets as (

    select
        channel,
        source_customer_id,
        ticket_id,
        ticket_kind,
        ticket_status,
        business_date,
        satisfaction_score,
        reopened_at,
        case when first_responded_at >= opened_at then {{ seconds_between('opened_at', 'first_responded_at') }} end
            as response_seconds,
        case when resolved_at >= opened_at then {{ seconds_between('opened_at', 'resolved_at') }} end
            as resolution_seconds
    from {{ ref('stg_tickets') }}
    where source_customer_id is not null

),

final as (

    select
        source_customers.customer_id,
        count(*) as ticket_count,
        {{ count_when("tickets.ticket_status in ('open', 'pending')") }} as open_ticket_count,
        {{ count_when("tickets.ticket_kind = 'complaint'") }} as complaint_count,
        {{ count_when('tickets.reopened_at is not null') }} as reopened_ticket_count,
        max(tickets.business_date) as last_ticket_date,
        max(case when tickets.ticket_kind = 'complaint' then tickets.business_date end) as last_complaint_date,
        {{ ratio('sum(tickets.response_seconds)', '(60 * count(tickets.response_seconds))') }}
            as average_response_minutes,
        {{ ratio('sum(tickets.resolution_seconds)', '(3600 * count(tickets.resolution_seconds))') }}
            as average_resolution_hours,
        {{ ratio('sum(tickets.satisfaction_score)', 'count(tickets.satisfaction_score)') }}
            as average_satisfaction_score
    from tickets
    inner join source_customers
        on
            tickets.channel = source_customers.channel
            and tickets.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

)

select * from final
