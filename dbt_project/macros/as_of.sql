{# The day the models look back from. No model reads the clock: any past day can be computed again. #}
{% macro as_of() -%}
    {%- do check_settings() -%}
    cast('{{ setting("as_of_date") }}' as date)
{%- endmacro %}


{# First instant (UTC) that is too late for as_of: midnight after it in the business zone. #}
{% macro as_of_end_at() -%}
    {{ local_midnight_at(as_of_plus(1)) }}
{%- endmacro %}


{% macro as_of_plus(days) -%}
    {{ add_days(as_of(), days) }}
{%- endmacro %}


{# Refuses settings no model could answer for. Parsing needs none of them, so it only looks at run time. #}
{% macro check_settings() %}
    {% if not execute %}{{ return('') }}{% endif %}
    {% set patterns = {
        'as_of_date': ('^[0-9]{4}-[0-9]{2}-[0-9]{2}$', 'a day as YYYY-MM-DD'),
        'business_timezone': ('^[A-Za-z0-9_+/-]+$', 'a zone name like Asia/Shanghai'),
        'reporting_currency': ('^[A-Z]{3}$', 'a currency code like CNY'),
        'ladder': ('^[a-z0-9_]+$', 'the name of a ladder in seeds/rfm_ladders.csv'),
        'industry': ('^[a-z0-9_]*$', 'the name of an industry in seeds/spend_benchmarks.csv, or nothing'),
    } %}
    {% for name, rule in patterns.items() %}
        {% if not modules.re.match(rule[0], setting(name)) %}
            {{ exceptions.raise_compiler_error(
                "var " ~ name ~ " is " ~ (setting(name) or "not set") ~ "; give " ~ rule[1]
                ~ ", e.g. --vars '{" ~ name ~ ": ...}'"
            ) }}
        {% endif %}
    {% endfor %}
    {% for name in [
        'rfm_window_days', 'churn_horizon_days', 'training_cutoff_count', 'repurchase_days', 'lifecycle_year_days',
        'interest_window_days', 'lifecycle_month_count', 'recent_days', 'behaviour_window_days', 'value_horizon_days',
        'playbook_min_orders', 'playbook_prior_days', 'sequence_holdout_days', 'sequence_history_days',
        'sequence_category_limit', 'recommendation_count', 'recommendation_half_life_days', 'recommendation_quality_days',
        'outreach_memory_days', 'stock_place_days',
        'outreach_result_days'
    ] %}
        {% if var(name) | int < 1 %}
            {{ exceptions.raise_compiler_error("var " ~ name ~ " is " ~ var(name) ~ "; give a whole number above 0") }}
        {% endif %}
    {% endfor %}
{% endmacro %}


{#
  A setting of the deployment: a var, or the environment variable CRM_DBT_<NAME>. A changed var makes dbt
  parse everything again (5 s); the environment is read at run time only, so the parsed project stays valid.
#}
{% macro setting(name) %}
    {% set fallbacks = {
        'business_timezone': 'Asia/Shanghai', 'reporting_currency': 'CNY', 'ladder': 'playbook'
    } %}
    {% if var(name, none) is not none %}{{ return(var(name) | string) }}{% endif %}
    {% if not execute %}{{ return('') }}{% endif %}
    {{ return(env_var('CRM_DBT_' ~ name | upper, fallbacks.get(name, ''))) }}
{% endmacro %}
