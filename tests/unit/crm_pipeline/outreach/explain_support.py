"""A published build for the tests of explain.

Add here: tables and customers the tests share.
Not here: assertions.
"""

from __future__ import annotations

TABLES = """
create schema marts;
create schema ops;
create table ops.build as select date '2026-06-30' as as_of_date;
create table marts.source_customers as
    select 'app' as channel, 'a1' as source_customer_id, 'new' as customer_id
    union all select 'pos', 'p1', 'new' union all select 'app', 'a2', 'other';
create table marts.customer_id_history as
    select 'app' as channel, 'a1' as source_customer_id, 'old' as customer_id
    union all select 'app', 'a1', 'new' union all select 'pos', 'p1', 'new'
    union all select 'app', 'a2', 'other' union all select 'app', 'a2', 'old';
create table marts.consent_states (
    customer_id varchar, purpose varchar, consent_channel varchar, contact_mask varchar,
    is_granted boolean, is_usable boolean, occurred_at timestamp);
insert into marts.consent_states values
    ('new', 'marketing', 'push', '1***', false, false, '2026-05-01 02:00'),
    ('new', 'marketing', 'sms', '138****8000', true, true, '2026-01-01 02:00'),
    ('other', 'marketing', 'sms', '139****0000', true, true, '2026-01-01 02:00');
create table marts.outreach_decisions (
    decision_id varchar, customer_id varchar, journey varchar, step varchar, occurrence varchar,
    outcome varchar, rule_id varchar, purpose varchar, consent_channel varchar,
    contact_mask varchar, content_id varchar, sku varchar, triggered_at timestamp,
    planned_send_at timestamp, valid_until timestamp, decided_at timestamp, evidence varchar);
create table marts.outreach_results (
    message_id varchar, decision_id varchar, customer_id varchar, result_state varchar,
    sent_at timestamp, delivered_at timestamp, opened_at timestamp, clicked_at timestamp,
    failed_at timestamp, unsubscribed_at timestamp, first_ordered_at timestamp);
"""
