"""Who the customers are and what they agreed to.

Add here: an entity about accounts and people.
Not here: what they do (``behaviour``).
"""

from __future__ import annotations

from crm_pipeline.lib.ingestion.contracts.columns import (
    ACCOUNT_CHANNEL,
    ANY_ACCOUNT_CHANNEL,
    EARLIEST_BIRTH,
    Column,
    Entity,
    amount_column,
    count_column,
    direct,
    enum_column,
    id_column,
    instant_column,
    planned_column,
    text_column,
)

ACCOUNTS = Entity(
    "accounts",
    "One account of a person at a channel.",
    natural_key=("source_customer_id",),
    event_time="registered_at",
    columns=(
        id_column("source_customer_id", "Account at the channel.", required=True, pii="indirect"),
        instant_column("registered_at", "When the account was opened."),
        text_column("display_name", "Name as the person wrote it.", pii="direct"),
        Column(
            "gender",
            "enum",
            "As stated by the person.",
            pii="sensitive",
            values=("female", "male", "other"),
        ),
        Column(
            "birth_date", "date", "As stated by the person.", pii="sensitive", low=EARLIEST_BIRTH
        ),
        text_column("city_name", "City as the channel writes it.", pii="indirect"),
        text_column("country_name", "Country as the channel writes it.", pii="indirect"),
        direct("phone", "Phone of the account; may be masked or expiring."),
        planned_column("phone_valid_until", "End of a number that is only lent."),
        direct("email", "E-mail of the account.", max_length=320),
        id_column("wechat_unionid", "WeChat id of the person across apps.", pii="direct"),
        id_column("wechat_openid", "WeChat id of the person in one app.", pii="direct"),
        id_column("alipay_id", "Alipay id of the person.", pii="direct"),
        id_column("member_number", "Number in the membership programme.", pii="direct"),
        id_column("hidden_id", "Person as the marketplace hides it (OAID, hash).", pii="direct"),
        id_column("device_id", "Device the account was opened on.", pii="direct"),
        direct("address_text", "Postal address as the person wrote it.", max_length=500),
        id_column("guide_id", "Shop guide who looks after the account."),
        id_column("store_id", "Shop the account belongs to."),
        text_column("source_name", "How the account was won, as the channel writes it."),
    ),
)

CONTACT_TAGS = Entity(
    "contact_tags",
    "One tag a shop guide put on a contact or took off.",
    natural_key=("source_customer_id", "tag_name", "occurred_at"),
    event_time="occurred_at",
    columns=(
        id_column("source_customer_id", "Account of the contact.", required=True, pii="indirect"),
        text_column("tag_name", "Tag as the guides write it.", required=True),
        text_column("tag_group", "Group the tag stands in."),
        enum_column("action", "Put on or taken off.", "added", "removed", required=True),
        instant_column("occurred_at", "When the guide did it.", required=True),
        id_column("guide_id", "Shop guide."),
    ),
)

IDENTITY_PAIRS = Entity(
    "identity_pairs",
    "One pair of accounts a clerk has judged.",
    natural_key=("pair_id",),
    event_time="reviewed_at",
    columns=(
        id_column("pair_id", "Number of the review.", required=True),
        id_column(
            "left_channel", "Channel of the first account.", required=True, names_channel=True
        ),
        id_column("left_customer_id", "First account.", required=True, pii="indirect"),
        id_column(
            "right_channel", "Channel of the second account.", required=True, names_channel=True
        ),
        id_column("right_customer_id", "Second account.", required=True, pii="indirect"),
        enum_column("verdict", "One person or two.", "same", "different", "unsure", required=True),
        id_column("reviewer_id", "Clerk who judged."),
        instant_column("reviewed_at", "When it was judged.", required=True),
    ),
)

CONSENTS = Entity(
    "consents",
    "One consent given or withdrawn.",
    natural_key=(
        "source_customer_id",
        "contact_kind",
        "contact_value",
        "purpose",
        "consent_channel",
        "action",
        "occurred_at",
    ),
    event_time="occurred_at",
    columns=(
        ANY_ACCOUNT_CHANNEL,
        id_column("source_customer_id", "Account at the channel.", required=True, pii="indirect"),
        Column(
            "contact_kind",
            "enum",
            "What the contact is.",
            required=True,
            values=("email", "phone", "wecom", "push"),
        ),
        id_column(
            "contact_value",
            "The clear address or number.",
            required=True,
            pii="direct",
            max_length=320,
        ),
        Column(
            "purpose",
            "enum",
            "What the contact may be used for.",
            required=True,
            values=("marketing", "service", "profiling", "advertising"),
        ),
        Column(
            "consent_channel",
            "enum",
            "Way of contact.",
            required=True,
            values=("email", "sms", "wecom", "push"),
        ),
        Column(
            "action", "enum", "Given or taken back.", required=True, values=("granted", "withdrawn")
        ),
        instant_column("occurred_at", "When the person said so.", required=True),
        text_column("notice_version", "Privacy notice shown at that moment.", max_length=100),
        text_column("evidence", "Where the proof is kept.", max_length=500),
    ),
)

PRIVACY_REQUESTS = Entity(
    "privacy_requests",
    "One request of a person about their data.",
    natural_key=("request_id",),
    event_time="requested_at",
    columns=(
        id_column("request_id", "Number of the request.", required=True),
        ACCOUNT_CHANNEL,
        id_column("source_customer_id", "Account the request is about.", pii="indirect"),
        enum_column(
            "request_kind",
            "What is asked for.",
            "access",
            "correction",
            "erasure",
            "restriction",
            "profiling_opt_out",
            required=True,
        ),
        instant_column("requested_at", "When it was received.", required=True),
        direct("contact_value", "Phone or address it came from.", max_length=320),
        enum_column("request_status", "How far it is.", "open", "done", "refused", required=True),
    ),
)

LEGACY_CUSTOMERS = Entity(
    "legacy_customers",
    "One customer of the system that was replaced, with closing balances.",
    natural_key=("source_customer_id",),
    event_time="registered_at",
    columns=(
        id_column("source_customer_id", "Number in the old system.", required=True, pii="indirect"),
        instant_column("registered_at", "When the customer was entered."),
        count_column("order_count", "Orders the old system counted.", unit="orders"),
        amount_column("spend_amount", "Spend the old system summed.", accepts_zero=True),
        Column("currency", "currency", "ISO 4217 code of the spend."),
        count_column("points_balance", "Points at closing.", unit="points"),
        text_column("level_name", "Member level as the old system wrote it."),
        instant_column("last_ordered_at", "Last order in the old system."),
    ),
)
