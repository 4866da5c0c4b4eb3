"""What customers say, and what the desk answers.

Add here: an entity of service, reviews or surveys.
Not here: messages the shop sends (``marketing``).
"""

from __future__ import annotations

from crm_pipeline.lib.ingestion.contracts.columns import (
    ACCOUNT_CHANNEL,
    CUSTOMER,
    Entity,
    count_column,
    enum_column,
    id_column,
    instant_column,
    text_column,
)

TICKETS = Entity(
    "tickets",
    "One service ticket, in its newest state.",
    natural_key=("ticket_id",),
    event_time="opened_at",
    columns=(
        id_column("ticket_id", "Number of the ticket.", required=True),
        ACCOUNT_CHANNEL,
        CUSTOMER,
        enum_column(
            "ticket_kind",
            "What it is about.",
            "question",
            "complaint",
            "return",
            "repair",
            "other",
            required=True,
        ),
        enum_column("priority", "How urgent it is.", "low", "normal", "high", "urgent"),
        enum_column(
            "ticket_status",
            "How far it is.",
            "open",
            "pending",
            "resolved",
            "closed",
            required=True,
        ),
        instant_column("opened_at", "When it was opened.", required=True),
        instant_column("first_responded_at", "First answer of a person."),
        instant_column("resolved_at", "When it was resolved."),
        instant_column("followed_up_at", "When the desk asked again whether all is well."),
        instant_column("reopened_at", "When it was last opened again."),
        id_column("order_id", "Order it is about.", pii="indirect"),
        id_column("sku", "Product it is about."),
        id_column("agent_id", "Agent who has it."),
        text_column("subject_text", "What the customer wrote.", max_length=5000),
        count_column(
            "satisfaction_score", "Satisfaction afterwards.", unit="1 to 5", low="1", high="5"
        ),
    ),
)

TICKET_MESSAGES = Entity(
    "ticket_messages",
    "One message in the chat of a ticket.",
    natural_key=("message_id",),
    event_time="sent_at",
    columns=(
        id_column("message_id", "Number of the message.", required=True),
        id_column("ticket_id", "Ticket.", required=True),
        enum_column("sender_kind", "Who wrote.", "customer", "agent", "bot", required=True),
        instant_column("sent_at", "When it was sent.", required=True),
        text_column("message_text", "What was written.", max_length=5000),
    ),
)

REVIEWS = Entity(
    "reviews",
    "One review of a product.",
    natural_key=("review_id",),
    event_time="reviewed_at",
    columns=(
        id_column("review_id", "Number of the review.", required=True),
        ACCOUNT_CHANNEL,
        CUSTOMER,
        id_column("order_id", "Order the product came with.", pii="indirect"),
        id_column("sku", "Product.", required=True),
        count_column("rating", "Stars.", unit="1 to 5", required=True, low="1", high="5"),
        text_column("review_text", "What was written.", max_length=5000),
        count_column("picture_count", "Pictures added.", unit="pictures"),
        instant_column("reviewed_at", "When it was written.", required=True),
    ),
)

SURVEY_ANSWERS = Entity(
    "survey_answers",
    "One answer to a survey question.",
    natural_key=("answer_id",),
    event_time="answered_at",
    columns=(
        id_column("answer_id", "Number of the answer.", required=True),
        ACCOUNT_CHANNEL,
        CUSTOMER,
        enum_column("survey_kind", "What is asked.", "nps", "csat", required=True),
        count_column("score", "The answer.", unit="0 to 10", required=True, low="0", high="10"),
        text_column("comment_text", "What was added.", max_length=5000),
        id_column("order_id", "Order that is asked about.", pii="indirect"),
        instant_column("answered_at", "When it was answered.", required=True),
    ),
)
